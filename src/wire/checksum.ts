/**
 * Checksums: XXH64 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md), by which the two ends of a link know that bytes came as
 * they were sent. They find faults of networks and memory, not an attacker: TLS is against those.
 */

/** Bytes of a checksum; on the wire it is little-endian. */
export const CHECKSUM_BYTES = 8;

/** Computes checksums. */
export interface Checksums {
  /** Such as "wasm" or "plain". */
  readonly description: string;
  /** The checksum of `bytes` with a seed of two 32-bit halves, to `target` from `at` on. */
  write(bytes: Uint8Array, seedLow: number, seedHigh: number, target: Uint8Array, at: number): void;
  /** Begins a checksum, with the seed 0, of bytes that come in pieces. */
  begin(): RunningChecksum;
}

/** A checksum of bytes that come in pieces. */
export interface RunningChecksum {
  /** Takes further bytes. */
  add(bytes: Uint8Array): void;
  /** The checksum of all bytes so far, to `target` from `at` on. Nothing is added afterwards. */
  end(target: Uint8Array, at: number): void;
}

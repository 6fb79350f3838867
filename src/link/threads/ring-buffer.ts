/**
 * A ring: the way of frames from one thread to another, in the threads' common memory. The rings that a thread writes lie
 * in its block, one for each thread of the job, by the number of the thread that reads it.
 *
 *   byte          size  block of a thread, of n
 *      0             4  its bell (links.ts)
 *     64       n × 192  counters of each ring
 *     then  n × r bytes records of each ring, r as {@link ringBytesFor} says
 *
 *   byte  size  counters
 *      0     4  bytes written (modulo 2^32)
 *     64     4  bytes read (modulo 2^32)
 *    128     4  1: the writer waits for room
 *
 *   byte  size  record, a multiple of 16 bytes
 *      0     4  bytes of the record
 *      4     4  kind: 0 nothing (fills the ring's end) · 1 payload follows · 2 payload's address follows · 3 goodbye
 *      8     4  bytes of the frame's header
 *     12     4  bytes of the payload
 *     16        header, padded to 16, then payload or address
 */

/** Most bytes of the rings of one thread, unless the smallest rings take more. */
const MAX_RINGS_BYTES = 2 * 1024 * 1024;
const MAX_RING_BYTES = 128 * 1024;
const MIN_RING_BYTES = 8 * 1024;
const BELL_BYTES = 64;
const COUNTERS_BYTES = 192;

/** Indices of the counters in {@link Ring.state}. */
export const WRITTEN = 0;
export const READ = 16;
export const WRITER_WAITS = 32;

/** Bytes of a record before the frame's header. */
export const RECORD_HEAD_BYTES = 16;

/** Kinds of records. */
export const Kind = { FILL: 0, INLINE: 1, ADDRESS: 2, CLOSE: 3 } as const;

/** Bytes of the records of a ring in a job of `threads` threads: a power of two, smaller where there are many rings. */
export function ringBytesFor(threads: number): number {
  let ringBytes = MAX_RING_BYTES;
  while (ringBytes > MIN_RING_BYTES && ringBytes * threads > MAX_RINGS_BYTES) ringBytes /= 2;
  return ringBytes;
}

/** Bytes of the block of one thread of `threads`, and how many at its start must be 0. */
export function blockSize(threads: number): { byteLength: number; zeroBytes: number } {
  const zeroBytes = BELL_BYTES + threads * COUNTERS_BYTES;
  return { byteLength: zeroBytes + threads * ringBytesFor(threads), zeroBytes };
}

/** The bell in the block at `address`. */
export function bellIn(buffer: ArrayBufferLike, address: number): Int32Array {
  return new Int32Array(buffer, address, 1);
}

/** A ring, as its writer and its reader see it. */
export class Ring {
  /** The counters. */
  readonly state: Int32Array;
  /** The records, as words and as bytes. */
  readonly words: Int32Array;
  readonly bytes: Uint8Array;

  /** The ring to thread `reader` in the block at `address`, in a job of `threads`. */
  constructor(buffer: ArrayBufferLike, address: number, reader: number, threads: number) {
    const ringBytes = ringBytesFor(threads);
    const recordsAt = address + blockSize(threads).zeroBytes + reader * ringBytes;
    this.state = new Int32Array(buffer, address + BELL_BYTES + reader * COUNTERS_BYTES, COUNTERS_BYTES / 4);
    this.words = new Int32Array(buffer, recordsAt, ringBytes / 4);
    this.bytes = new Uint8Array(buffer, recordsAt, ringBytes);
  }
}

/** Bytes that `byteLength` bytes take in a record. */
export function padded(byteLength: number): number {
  return Math.ceil(byteLength / 16) * 16;
}

/**
 * A ring: the way of frames from one thread to another, in the threads' common memory.
 *
 *   byte  size  ring
 *      0     4  bytes written (modulo 2^32)
 *     64     4  bytes read (modulo 2^32)
 *    128     4  1: the writer waits for room
 *    192 RING_BYTES records
 *
 *   byte  size  record, a multiple of 16 bytes
 *      0     4  bytes of the record
 *      4     4  kind: 0 nothing (fills the ring's end) · 1 payload follows · 2 payload's address follows · 3 goodbye
 *      8     4  bytes of the frame's header
 *     12     4  bytes of the payload
 *     16        header, padded to 16, then payload or address
 */

import type { AddressableHeap } from "./directory.ts";

export const RING_BYTES = 131_072;
const RECORDS_AT = 192;
/** Bytes of a ring with its counters. */
export const RING_BLOCK_BYTES = RECORDS_AT + RING_BYTES;

/** Indices of the counters in {@link Ring.state}. */
export const WRITTEN = 0;
export const READ = 16;
export const WRITER_WAITS = 32;

/** Bytes of a record before the frame's header. */
export const RECORD_HEAD_BYTES = 16;

/** Kinds of records. */
export const Kind = { FILL: 0, INLINE: 1, ADDRESS: 2, CLOSE: 3 } as const;

/** A ring, as its writer and its reader see it. */
export class Ring {
  /** The counters. */
  readonly state: Int32Array;
  /** The records, as words and as bytes. */
  readonly words: Int32Array;
  readonly bytes: Uint8Array;

  constructor(heap: AddressableHeap, address: number) {
    const buffer = heap.bufferTo(address + RING_BLOCK_BYTES);
    this.state = new Int32Array(buffer, address, RECORDS_AT / 4);
    this.words = new Int32Array(buffer, address + RECORDS_AT, RING_BYTES / 4);
    this.bytes = new Uint8Array(buffer, address + RECORDS_AT, RING_BYTES);
  }
}

/** Bytes that `byteLength` bytes take in a record. */
export function padded(byteLength: number): number {
  return Math.ceil(byteLength / 16) * 16;
}

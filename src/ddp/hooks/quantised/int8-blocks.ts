/**
 * Blocks of gradients as int8 with one scale each: the format, and the loops over host memory. int8-gpu.ts has the same
 * for GPUBuffers, with the same bits where all numbers are normal.
 *
 *     record of a block of B elements, B + 4 bytes:  scale, an f32 | B integers from −127 to 127, one byte each
 *
 *     scale  = the largest magnitude of the block · f32(1/127), its last 8 bits cleared
 *     q(x)   = x / scale, to the nearest integer, ties to even
 *     value  = q · scale, which is exact: 7 and 16 bits make 23
 *
 * A block whose largest magnitude is below 2^-100 has scale 0, and all its elements are 0. A block that has a NaN or an Inf
 * has scale NaN, and all its elements are NaN: a gradient that went wrong must be seen. The last block is filled up with zeros.
 */
import type { ProcessGroup } from "../../../group/process-group.ts";
import type { Share } from "../../../support/even-share.ts";
import type { Tensor } from "../../../types.ts";

/** From these bits of a magnitude on, a block has a scale. */
export const LEAST_BITS = 27 << 23;
/** The bits of Inf. NaNs have larger ones. */
export const INFINITY_BITS = 0x7f800000;
export const NAN_BITS = 0x7fc00000;
/** f32(1/127). */
export const STEP = Math.fround(1 / 127);
/** Cleared in a scale, so that its product with an integer of 7 bits is exact. */
export const SCALE_MASK = 0xffffff00;
/** Where the unit of a double is 1: adding it rounds to an integer, ties to even. */
const ROUNDER = 1.5 * 2 ** 52;

/** Records in memory: words, and the same memory as bytes. */
export class Records {
  readonly words: Uint32Array;
  readonly bytes: Int8Array;
  readonly floats: Float32Array;
  readonly blockSize: number;
  /** Words of a record. */
  readonly stride: number;

  /** `blocks` records of `blockSize` elements, a multiple of 4. */
  constructor(blocks: number, blockSize: number) {
    this.blockSize = blockSize;
    this.stride = wordsOfBlock(blockSize);
    this.words = new Uint32Array(blocks * this.stride);
    this.bytes = new Int8Array(this.words.buffer);
    this.floats = new Float32Array(this.words.buffer);
  }
}

/** Words of a record. */
export function wordsOfBlock(blockSize: number): number {
  return 1 + blockSize / 4;
}

/** Writes record `record` of the elements `start` to `end` of `values`, and leaves in their place what the record lacks of them. */
export function encodeBlock(records: Records, record: number, values: Float32Array, start: number, end: number): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let most = 0;
  for (let i = start; i < end; i++) most = Math.max(most, bits[i]! & 0x7fffffff);
  const word = record * records.stride;
  const first = 4 * (word + 1);
  records.bytes.fill(0, first, first + records.blockSize);
  if (most >= INFINITY_BITS || most < LEAST_BITS) {
    records.words[word] = most >= INFINITY_BITS ? NAN_BITS : 0;
    if (most >= INFINITY_BITS) values.fill(0, start, end);
    return;
  }
  const { words, floats, bytes } = records;
  words[word] = most;
  floats[word] = floats[word]! * STEP;
  words[word] = words[word]! & SCALE_MASK;
  const scale = floats[word]!;
  for (let i = start; i < end; i++) {
    const q = values[i]! / scale + ROUNDER - ROUNDER;
    bytes[first + i - start] = q;
    values[i] = values[i]! - q * scale;
  }
}

/** The elements of record `record` become `values` from `start` to `end`. */
export function decodeBlock(records: Records, record: number, values: Float32Array, start: number, end: number): void {
  const word = record * records.stride;
  const scale = records.floats[word]!;
  const first = 4 * (word + 1) - start;
  for (let i = start; i < end; i++) values[i] = records.bytes[first + i]! * scale;
}

/** Adds the elements of record `record` to `values` from `start` to `end`. */
export function addBlock(records: Records, record: number, values: Float32Array, start: number, end: number): void {
  const word = record * records.stride;
  const scale = records.floats[word]!;
  const first = 4 * (word + 1) - start;
  for (let i = start; i < end; i++) values[i] = values[i]! + records.bytes[first + i]! * scale;
}

/** A bucket of `count` elements on one rank, which owns the blocks `mine`. */
export interface Int8Job {
  readonly group: ProcessGroup;
  readonly count: number;
  readonly blockSize: number;
  readonly errorFeedback: boolean;
  readonly mine: Share;
}

/** The elements of the blocks that a rank owns. */
export function ownedCount({ count, blockSize, mine }: Int8Job): number {
  return Math.max(0, Math.min(count - mine.start * blockSize, mine.count * blockSize));
}

/** The blocks of a bucket in one kind of memory, and the steps of int8Hook that compute. */
export interface Blocks {
  /** The records of all blocks, u32: this rank's, then the means. */
  readonly records: Tensor;
  /** The records of the blocks that this rank owns, u32: those of rank 0, then of rank 1 and so on. */
  readonly received: Tensor;
  /** The gradients with what was kept of them, as records. */
  encode(): void;
  /** The means of the received records, with what was kept of them, as this rank's records. */
  encodeMean(): void;
  /** The records as the bucket's elements. */
  decode(): void;
  /** The records are no longer wanted. */
  discard(): void;
}

/**
 * Which elements are whose: pure arithmetic on counts, for any count and any number of parts.
 */
import { bytesPerElement, type DataType } from "../../types.ts";

/** A run of elements. */
export interface Range {
  start: number;
  count: number;
}

/** Chunks of one tensor begin at multiples of this many bytes: a cache line, and whole vectors for every kernel. */
export const CHUNK_ALIGNMENT_BYTES = 64;

/**
 * Cuts `count` elements into `parts` contiguous chunks. Every boundary but the end is a multiple of 64 bytes; the
 * lengths differ by at most 64 bytes, and chunks are empty where there are fewer such blocks than parts.
 */
export function partition(count: number, parts: number, dtype: DataType): Range[] {
  return Array.from({ length: parts }, (_, part) => chunkOf(count, parts, part, dtype));
}

/** Chunk `part` of {@link partition}. */
export function chunkOf(count: number, parts: number, part: number, dtype: DataType): Range {
  const block = CHUNK_ALIGNMENT_BYTES / bytesPerElement(dtype);
  const blocks = Math.ceil(count / block);
  const start = Math.min(count, Math.floor((blocks * part) / parts) * block);
  const end = Math.min(count, Math.floor((blocks * (part + 1)) / parts) * block);
  return { start, count: end - start };
}

/** The most elements a message of `segmentBytes` carries, at least 1. */
export function elementsPerSegment(segmentBytes: number, dtype: DataType): number {
  return Math.max(1, Math.floor(segmentBytes / bytesPerElement(dtype)));
}

/** Segment `index` of a chunk of `count` elements; empty behind the chunk's end. */
export function segmentRange(count: number, index: number, perSegment: number): Range {
  const start = Math.min(count, index * perSegment);
  return { start, count: Math.min(perSegment, count - start) };
}

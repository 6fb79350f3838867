/**
 * Copies between spans of whole words, by the GPU's own copy, which is far faster than a kernel on software adapters.
 */
import type { GpuDevice } from "../device.ts";
import type { GpuSpan } from "./span.ts";

/** Where a buffer is copied onto itself, which WebGPU refuses, it goes by way of scratch, in pieces of this many bytes. */
const PIECE_BYTES = 2 ** 25;

/** target = source; equal lengths, disjoint. */
export function copyWords(device: GpuDevice, target: GpuSpan, source: GpuSpan): void {
  const { byteLength } = target;
  if (target.buffer !== source.buffer) {
    copyBytes(device, target.buffer, target.byteOffset, source.buffer, source.byteOffset, byteLength);
    return;
  }
  const piece = Math.min(byteLength, PIECE_BYTES);
  const between = device.scratch.take(piece);
  for (let at = 0; at < byteLength; at += piece) {
    const bytes = Math.min(piece, byteLength - at);
    copyBytes(device, between, 0, source.buffer, source.byteOffset + at, bytes);
    copyBytes(device, target.buffer, target.byteOffset + at, between, 0, bytes);
  }
  device.scratch.give(between);
}

function copyBytes(
  device: GpuDevice,
  to: GPUBuffer,
  toOffset: number,
  from: GPUBuffer,
  fromOffset: number,
  bytes: number,
): void {
  device.push({
    buffers: [to, from],
    encode: (batch) => batch.encoder().copyBufferToBuffer(from, fromOffset, to, toOffset, bytes),
  });
}

/** The bytes that each hook sends. */
import { bytesPerElement, type DataType } from "../../types.ts";
import { powerSgdWireBytes } from "./power-sgd.ts";
import { int8WireBytes } from "./quantised/int8.ts";
import { topKWireBytes } from "./top-k.ts";

/** Of an allReduce that sends each element to its owner and back: the ring, halving and owner-direct algorithms. */
function allReduceBytes(count: number, size: number, width: number): number {
  return 2 * (size - 1) * count * width;
}

/**
 * By hook: the bytes of payload that all `size` ranks together send for a bucket of `count` elements (divide by `size` for the mean
 * of a rank). Where `allReduce` and `allGather` take algorithms for short messages (docs/architecture.md), more bytes go in
 * fewer messages. The frames' headers, some 60 bytes a message, are not counted.
 */
export const wireBytes = {
  allReduce: (count: number, size: number, dtype: DataType = "f32"): number =>
    allReduceBytes(count, size, bytesPerElement(dtype)),
  fp16Compress: (count: number, size: number): number => allReduceBytes(count, size, 2),
  bf16Compress: (count: number, size: number): number => allReduceBytes(count, size, 2),
  fp8Compress: (count: number, size: number): number => allReduceBytes(count, size, 1) + allReduceBytes(1, size, 4),
  int8: int8WireBytes,
  powerSgd: powerSgdWireBytes,
  topK: topKWireBytes,
} as const;

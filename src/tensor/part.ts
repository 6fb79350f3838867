/** A part of a tensor, as a tensor of its own over the same memory. */
import { bytesPerElement, type Tensor } from "../types.ts";
import { describe } from "./describe.ts";

/**
 * Elements `start` to `start + count` of `tensor`, sharing its memory; a typed array gives a typed array.
 * @throws RangeError if the tensor does not hold them.
 * @throws TypeError if they begin within a word of a GPUBuffer, where no tensor may begin.
 */
export function partOfTensor(tensor: Tensor, start: number, count: number): Tensor {
  const view = describe(tensor);
  const { dtype } = view;
  if (start < 0 || count < 0 || start + count > view.count) {
    throw new RangeError(`elements ${start} to ${start + count} of a tensor that has ${view.count}`);
  }
  if (view.memory === "host") {
    if (ArrayBuffer.isView(view.tensor)) return view.tensor.subarray(start, start + count);
    return { data: view.data.subarray(start, start + count), dtype };
  }
  const byteOffset = view.byteOffset + start * bytesPerElement(dtype);
  const part =
    view.memory === "gpu"
      ? { buffer: view.buffer, dtype, byteOffset, count }
      : { cuda: view.buffer, dtype, byteOffset, count };
  describe(part);
  return part;
}

/** A part of a tensor, as a tensor of its own over the same memory. */
import { bytesPerElement, type HostArray, type Tensor } from "../types.ts";
import { describe } from "./describe.ts";

/**
 * Elements `start` to `start + count` of `tensor`, sharing its memory and of its form: a typed array gives a typed array.
 * @throws RangeError if the tensor does not hold them.
 * @throws TypeError if they begin within a word of a GPUBuffer, where no tensor may begin.
 */
export function partOfTensor(tensor: Tensor, start: number, count: number): Tensor {
  const view = describe(tensor);
  if (start < 0 || count < 0 || start + count > view.count) {
    throw new RangeError(`elements ${start} to ${start + count} of a tensor that has ${view.count}`);
  }
  const byteOffset = view.byteOffset + start * bytesPerElement(view.dtype);
  if (view.memory === "host") return hostPart(view.tensor, start, count);
  const part = { ...view.tensor, byteOffset, count };
  describe(part);
  return part;
}

function hostPart(tensor: HostArray | { data: HostArray }, start: number, count: number): Tensor {
  if (!ArrayBuffer.isView(tensor)) {
    const { data, ...rest } = tensor;
    return { ...rest, data: data.subarray(start, start + count) } as Tensor;
  }
  return tensor.subarray(start, start + count);
}

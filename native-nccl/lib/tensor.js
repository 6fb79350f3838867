/** Tensors as NCCL takes them. */
import { DeviceBuffer } from "./memory.js";

/** NCCL's codes. */
export const DTYPES = {
  ...{ i8: 0, u8: 1, i32: 2, u32: 3, i64: 4, u64: 5 },
  ...{ f16: 6, f32: 7, f64: 8, bf16: 9, f8e4m3: 10, f8e5m2: 11 },
};
const BYTES = {
  ...{ i8: 1, u8: 1, i16: 2, u16: 2, i32: 4, u32: 4, i64: 8, u64: 8 },
  ...{ f16: 2, bf16: 2, f32: 4, f64: 8, f8e4m3: 1, f8e5m2: 1 },
};

/** Is it an 8-bit float? NCCL reduces them where it is new enough and the device is, and webccl has them moved as bytes everywhere. */
export function isFloat8(dtype) {
  return dtype === "f8e4m3" || dtype === "f8e5m2";
}

/**
 * Dtype, count and position of a tensor. `moved` tells that its bytes alone matter. `at` is its place in a list, such as " at 1".
 * @throws TypeError if it is no tensor, or its buffer was disposed; RangeError if its elements are not in the buffer.
 */
export function describe(tensor, moved, at = "") {
  const { cuda, dtype, byteOffset = 0 } = tensor ?? {};
  if (!(cuda instanceof DeviceBuffer)) throw new TypeError(`expected Tensor${at} (got ${typeName(tensor)})`);
  if (cuda.disposed) throw new TypeError(`the Tensor${at}: its DeviceBuffer was disposed`);
  if (!Object.hasOwn(BYTES, dtype)) {
    throw new TypeError(
      `the Tensor${at}: ${String(dtype)} is not a dtype, use one of ${Object.keys(BYTES).join(", ")}`,
    );
  }
  const width = BYTES[dtype];
  if (!isWhole(byteOffset) || byteOffset % width !== 0) {
    throw new RangeError(`the Tensor${at}: byteOffset must be a multiple of ${width}, got ${String(byteOffset)}`);
  }
  const { count = Math.max(0, Math.floor((cuda.byteLength - byteOffset) / width)) } = tensor;
  if (!isWhole(count)) throw new RangeError(`the Tensor${at}: count must be a whole number, got ${String(count)}`);
  const bytes = count * width;
  if (byteOffset + bytes > cuda.byteLength) {
    const range = `bytes ${byteOffset} to ${byteOffset + bytes} of a DeviceBuffer of ${cuda.byteLength}`;
    throw new RangeError(`the Tensor${at}: ${range}`);
  }
  const asBytes = moved && (isFloat8(dtype) || !(dtype in DTYPES));
  return {
    ...{ cuda, dtype, byteOffset, bytes },
    buffer: DeviceBuffer.handle(cuda),
    code: asBytes ? DTYPES.u8 : DTYPES[dtype],
    count: asBytes ? bytes : count,
  };
}

function isWhole(value) {
  return Number.isSafeInteger(value) && value >= 0;
}

/** What an error says that it got. */
export function typeName(value) {
  if (value === null) return "null";
  return typeof value === "object" ? (value.constructor?.name ?? "object") : typeof value;
}

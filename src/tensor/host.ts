/**
 * What counts as a tensor in host memory, and what to say of everything that does not.
 */
import type { DataType, HostArray, HostTensor } from "../types.ts";
import { DATA_TYPES, isFloat8 } from "../types.ts";
import { unknownDtype } from "./field-checks.ts";
import { classNameOf, notATensor } from "./not-a-tensor.ts";
import type { HostView } from "./view.ts";

/** The dtype of a bare typed array, by the name of its class: that holds across realms and for subclasses. */
const DTYPE_OF_CLASS: ReadonlyMap<string, DataType> = new Map([
  ["Int8Array", "i8"],
  ["Uint8Array", "u8"],
  ["Int16Array", "i16"],
  ["Uint16Array", "u16"],
  ["Int32Array", "i32"],
  ["Uint32Array", "u32"],
  ["BigInt64Array", "i64"],
  ["BigUint64Array", "u64"],
  ["Float16Array", "f16"],
  ["Float32Array", "f32"],
  ["Float64Array", "f64"],
]);

/** The classes whose elements may be named as `dtype`. */
function classesFor(dtype: DataType): readonly string[] {
  if (dtype === "f16") return ["Uint16Array", "Float16Array"];
  if (dtype === "bf16") return ["Uint16Array"];
  if (isFloat8(dtype)) return ["Uint8Array"];
  return [...DTYPE_OF_CLASS].filter(([, own]) => own === dtype).map(([name]) => name);
}

const CLASSES = new Map<string, readonly string[]>(DATA_TYPES.map((dtype) => [dtype, classesFor(dtype)]));

/** The tensor of `dtype` over `data`: the bare array where its class tells the dtype. */
export function tensorOver(dtype: DataType, data: HostArray): HostArray | HostTensor {
  return DTYPE_OF_CLASS.get(classNameOf(data)) === dtype ? data : { data, dtype };
}

/**
 * The view of a tensor in host memory.
 * @throws TypeError if it is no tensor, if its dtype does not fit its array, or if its buffer is detached.
 */
export function describeHost(tensor: unknown): HostView {
  const named = !ArrayBuffer.isView(tensor);
  const data = named ? (tensor as { data?: unknown } | null | undefined)?.data : tensor;
  if (!ArrayBuffer.isView(data)) throw new TypeError(notATensor(tensor));
  const name = classNameOf(data);
  const own = DTYPE_OF_CLASS.get(name);
  if (own === undefined) throw new TypeError(notATensor(data));
  let dtype = own;
  if (named) {
    dtype = (tensor as HostTensor).dtype;
    const classes = CLASSES.get(dtype);
    if (dtype === undefined)
      throw new TypeError(`a tensor { data } has no dtype: pass data alone, or { data, dtype: "${own}" }`);
    if (!classes) throw unknownDtype(dtype);
    if (!classes.includes(name)) {
      throw new TypeError(`a ${dtype} tensor holds its elements in a ${classes[0]}, and data is a ${name}`);
    }
  }
  const array = data as HostArray;
  const { length: count, buffer, byteOffset, byteLength } = array;
  // Of an array that was detached, compiled code of V8 11.3 (Node 20) may see the old length; its buffer has none.
  if (!byteLength || !buffer.byteLength) refuseLost(data, dtype);
  const given = tensor as HostArray | HostTensor;
  return { memory: "host", tensor: given, data: array, buffer, dtype, count, byteOffset, byteLength };
}

/** An array whose memory is gone looks like an empty one, but none of its methods can be called any more. */
function refuseLost(data: ArrayBufferView, dtype: DataType): void {
  try {
    (data as Uint8Array).at(0);
  } catch (cause) {
    throw new TypeError(
      data.buffer.byteLength > 0
        ? `the ${dtype} tensor lies beyond the end of its buffer, which was made shorter`
        : `the ${dtype} tensor's buffer is detached: transferred, made shorter, or its memory grew`,
      { cause },
    );
  }
}

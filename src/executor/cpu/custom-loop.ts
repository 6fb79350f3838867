/**
 * A custom operation on the cpu: the user's function, called for each pair of elements.
 */
import type { CustomReduceOp } from "../../reduce-op.ts";
import { type DataType, isFloat8 } from "../../types.ts";
import { f8ToF32, f32ToF8 } from "./float8.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, NAN_F32, NAN_F64 } from "./half.ts";
import type { HostSpan } from "./host-span.ts";

/** Elements as the numbers or bigints that user code sees. */
interface Accessor {
  get(i: number): number | bigint;
  /** Rounds or wraps `value` to the dtype; a NaN becomes the canonical one. */
  set(i: number, value: number | bigint): void;
}

function accessorOfBits(
  elements: Uint8Array | Uint16Array,
  widen: (bits: number) => number,
  narrow: (value: number) => number,
): Accessor {
  return {
    get: (i) => widen(elements[i]!),
    set: (i, value) => {
      elements[i] = narrow(value as number);
    },
  };
}

function accessorOf(span: HostSpan): Accessor {
  const { dtype } = span;
  if (isFloat8(dtype)) {
    return accessorOfBits(
      span.bytes,
      (bits) => f8ToF32(dtype, bits),
      (value) => f32ToF8(dtype, value),
    );
  }
  if (dtype === "f16") return accessorOfBits(span.lanes(dtype), f16ToF32, f32ToF16);
  if (dtype === "bf16") return accessorOfBits(span.lanes(dtype), bf16ToF32, f32ToBf16);
  const elements = span.lanes(dtype);
  const get = (i: number) => elements[i]!;
  const set = (i: number, value: number | bigint) => {
    (elements as { [i: number]: number | bigint })[i] = value;
  };
  if (dtype === "f32" || dtype === "f64") {
    const bits = dtype === "f32" ? span.lanes("u32") : span.lanes("u64");
    const nan = dtype === "f32" ? NAN_F32 : NAN_F64;
    return {
      get,
      set: (i, value) => {
        if (Number.isNaN(value)) (bits as { [i: number]: number | bigint })[i] = nan;
        else set(i, value);
      },
    };
  }
  return { get, set };
}

/** The type that a custom function takes and returns for `dtype`. */
function elementType(dtype: DataType): "number" | "bigint" {
  return dtype === "i64" || dtype === "u64" ? "bigint" : "number";
}

/**
 * target = js(left, right), element by element.
 * @throws TypeError if `js` returns anything but a number (a bigint for i64 and u64); whatever `js` throws.
 */
export function foldCustom(op: CustomReduceOp, target: HostSpan, left: HostSpan, right: HostSpan): void {
  const [to, a, b] = [accessorOf(target), accessorOf(left), accessorOf(right)];
  const js = op.js as (a: number | bigint, b: number | bigint) => unknown;
  const wanted = elementType(target.dtype);
  for (let i = 0; i < target.count; i++) {
    const value = js(a.get(i), b.get(i));
    if (typeof value !== wanted) {
      throw new TypeError(
        `custom op ${op.label}: js must return a ${wanted} for ${target.dtype} tensors, it returned a ${typeof value}`,
      );
    }
    to.set(i, value as number | bigint);
  }
}

/**
 * Every element = value, rounded or wrapped to the dtype.
 * @throws RangeError if the span is i64 or u64 and `value` is not a whole number.
 */
export function fillSpan(span: HostSpan, value: number | bigint): void {
  if (span.count === 0) return;
  const accessor = accessorOf(span);
  if (elementType(span.dtype) === "bigint") accessor.set(0, BigInt(value));
  else accessor.set(0, Number(value));
  // The first element is copied, in runs that double.
  const { bytes } = span;
  for (let filled = bytes.byteLength / span.count; filled < bytes.byteLength; filled *= 2) {
    bytes.copyWithin(filled, 0, Math.min(filled, bytes.byteLength - filled));
  }
}

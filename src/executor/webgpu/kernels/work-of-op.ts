/** Work of an operation: from a reduce operation and a dtype to the work of a kernel. */
import { UnsupportedError } from "../../../errors.ts";
import type { ReduceOp } from "../../../reduce-op.ts";
import { bytesPerElement, type DataType, isFloat } from "../../../types.ts";
import type { FoldName } from "../../cpu/kernels.ts";
import type { FactorBits } from "../memory/span.ts";
import type { KernelWork } from "./source.ts";

/**
 * The work of a kernel for `op`, once `prepare` has done its part.
 * @throws TypeError for bitwise operations on floats, UnsupportedError for operations that WGSL cannot do exactly.
 */
export function foldWork(op: ReduceOp, dtype: DataType): KernelWork {
  const { name } = op;
  if (isFloat(dtype) && (name === "band" || name === "bor" || name === "bxor")) {
    throw new TypeError(`reduce op ${name} is for integers, and the span is ${dtype}`);
  }
  if (dtype === "f64" && name !== "min" && name !== "max") {
    throw new UnsupportedError(
      `reduce op ${name} on f64: WGSL has no 64-bit floats, so the webgpu executor cannot do it exactly; the cpu executor can, on a Float64Array`,
    );
  }
  if (name === "custom") return { dtype, op, unary: "same" };
  const fold: FoldName = name === "avg" || name === "premul-sum" ? "sum" : name;
  return { dtype, op: fold, unary: "same" };
}

/** Moving elements, which depends on their size alone. */
export function moveWork(dtype: DataType): KernelWork {
  const width = bytesPerElement(dtype);
  const bits = width === 1 ? "u8" : width === 2 ? "u16" : width === 4 ? "u32" : "u64";
  return { dtype: bits, op: null, unary: "same" };
}

/** The bits of a factor that `inputFactor` gave. */
export function bitsOf(dtype: DataType, factor: number | bigint): FactorBits {
  if (isFloat(dtype)) {
    const view = new DataView(new ArrayBuffer(4));
    view.setFloat32(0, Number(factor));
    return [view.getUint32(0), 0x7fc00000];
  }
  const wrapped = BigInt.asUintN(64, BigInt(factor));
  return [Number(wrapped & 0xffffffffn), Number(wrapped >> 32n)];
}

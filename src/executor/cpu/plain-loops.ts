/**
 * The kernels as loops over typed arrays: they run where WebAssembly may not, fold short tensors, and are the
 * reference that the WebAssembly kernels must equal bit for bit.
 */
import type { DataType } from "../../types.ts";
import type { Packing } from "../executor.ts";
import type { HostSpan } from "./host-span.ts";
import { type FoldName, type Kernels, signedLane } from "./kernels.ts";
import { LoopPacking } from "./packing/loop-packing.ts";
import { BF16_LOOPS, F16_LOOPS, F32_LOOPS, F64_LOOPS } from "./plain-float-loops.ts";
import { DIVIDE_LOOPS, INTEGER_LOOPS, SCALE_LOOPS } from "./plain-integer-loops.ts";

type FloatFold = "sum" | "product" | "min" | "max";
type IntegerLoop = keyof typeof INTEGER_LOOPS;

/** The loop and its lanes for an integer operation: signed where the sign makes no difference. */
function integerLane(name: FoldName, dtype: DataType): DataType {
  if (name === "min" || name === "max") return dtype;
  const lane = signedLane(dtype);
  const bitwise = name === "band" || name === "bor" || name === "bxor";
  return bitwise && lane === "i64" ? "i32" : lane;
}

function foldIntegers(name: FoldName, target: HostSpan, left: HostSpan, right: HostSpan): void {
  const lane = integerLane(name, target.dtype);
  const loop = INTEGER_LOOPS[`${name}_${lane}` as IntegerLoop] as (t: unknown, l: unknown, r: unknown) => void;
  loop(target.lanes(lane), left.lanes(lane), right.lanes(lane));
}

/** Kernels without WebAssembly. `why` completes the description, such as "WebAssembly is blocked". */
export class PlainLoops implements Kernels {
  readonly description: string;

  constructor(why: string) {
    this.description = `plain loops: ${why}`;
  }

  fold(name: FoldName, target: HostSpan, left: HostSpan, right: HostSpan): void {
    switch (target.dtype) {
      case "f32":
        F32_LOOPS[name as FloatFold](target.lanes("f32"), left.lanes("f32"), right.lanes("f32"), target.lanes("u32"));
        return;
      case "f64":
        F64_LOOPS[name as FloatFold](target.lanes("f64"), left.lanes("f64"), right.lanes("f64"), target.lanes("u64"));
        return;
      case "f16":
        F16_LOOPS[name as FloatFold](target.lanes("f16"), left.lanes("f16"), right.lanes("f16"));
        return;
      case "bf16":
        BF16_LOOPS[name as FloatFold](target.lanes("bf16"), left.lanes("bf16"), right.lanes("bf16"));
        return;
      default:
        foldIntegers(name, target, left, right);
    }
  }

  scale(span: HostSpan, factor: number | bigint): void {
    const { dtype } = span;
    switch (dtype) {
      case "f32":
        F32_LOOPS.scale(span.lanes("f32"), factor as number, span.lanes("u32"));
        return;
      case "f64":
        F64_LOOPS.scale(span.lanes("f64"), factor as number, span.lanes("u64"));
        return;
      case "f16":
        F16_LOOPS.scale(span.lanes("f16"), factor as number);
        return;
      case "bf16":
        BF16_LOOPS.scale(span.lanes("bf16"), factor as number);
        return;
      default: {
        const lane = signedLane(dtype) as keyof typeof SCALE_LOOPS;
        (SCALE_LOOPS[lane] as (t: unknown, factor: number | bigint) => void)(span.lanes(lane), factor);
      }
    }
  }

  divide(span: HostSpan, divisor: number): void {
    const lane = span.dtype as keyof typeof DIVIDE_LOOPS;
    const wide = lane === "i64" || lane === "u64";
    (DIVIDE_LOOPS[lane] as (t: unknown, d: number | bigint) => void)(
      span.lanes(lane),
      wide ? BigInt(divisor) : divisor,
    );
  }
  packing(parts: readonly HostSpan[], starts: readonly number[]): Packing {
    return new LoopPacking(parts, starts);
  }
}

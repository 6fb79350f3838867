/**
 * Gradients in 8 bits on the wire: f8e4m3, with one scale for the bucket that all ranks agree on.
 *
 *     m = the largest finite magnitude of the bucket on any rank (an allReduce with MAX, of one f32)
 *     s = the largest power of two with N · m · s ≤ 448, the largest f8e4m3; 1 if m is 0
 *     result = sum over the ranks of f8(x · s), each step rounded to f8e4m3, divided by N · s
 *
 * So the sum does not overflow (past 448 it saturates, by less than one rounding), and elements above m · N / 2^17 do not
 * vanish. An element has 4 bits of precision, and 3 more steps of rounding with every doubling of the ranks: this is for
 * gradients that tolerate it. Nothing is kept from one step to the next. An element that is NaN or Inf on any rank is NaN.
 *
 * Bytes: one allReduce of 1 byte per element, and one of 4 bytes.
 * Source: P. Micikevicius et al. 2022, "FP8 Formats for Deep Learning", arXiv:2209.05433.
 */
import { f8ToF32 } from "../../../executor/cpu/float8.ts";
import type { ProcessGroup } from "../../../group/process-group.ts";
import type { TurnPart } from "../../../group/turns.ts";
import type { CommHook } from "../../comm-hook.ts";
import { inTurnOf } from "../bucket-turn.ts";
import { asF32OnGpu, compressible, isForKernels, readGradients, writeGradients } from "../gradients.ts";
import { DTYPE, type Floats8 } from "./fp8-floats.ts";
import { HostFloats8 } from "./fp8-host.ts";

const LARGEST = 448;
const VALUES = Float32Array.from({ length: 256 }, (_, bits) => f8ToF32(DTYPE, bits));

/**
 * The bucket's average by way of f8e4m3. The state is the group.
 * @throws TypeError if the bucket's dtype is not f16, bf16, f32 or f64. @throws UnsupportedError if it is in CUDA memory.
 */
export const fp8CompressHook: CommHook<ProcessGroup> = async (group, bucket) => {
  const view = compressible("fp8CompressHook", group, bucket.buffer());
  await inTurnOf(group, bucket, async (part) => {
    if (isForKernels(view)) {
      const { GpuFloats8 } = await import("./fp8-gpu.ts");
      await asF32OnGpu(group, view, (values) => average(group, part, new GpuFloats8(group, values)));
      return;
    }
    const values = await readGradients(group, view);
    await average(group, part, new HostFloats8(values));
    await writeGradients(group, view, values);
  });
  return bucket.buffer();
};

async function average(group: ProcessGroup, part: TurnPart, floats: Floats8): Promise<void> {
  try {
    const most = Float32Array.of(await floats.largest());
    await group.allReduce(most, { ...part, op: "max" });
    const scale = powerOfTwoBelow(LARGEST / (group.size * most[0]!));
    await group.allReduce(floats.encode(scale), part);
    floats.decode(VALUES.map((value) => value / (group.size * scale)));
  } finally {
    floats.discard();
  }
}

/** The largest power of two that is at most `value`; 1 for Infinity. */
function powerOfTwoBelow(value: number): number {
  if (!Number.isFinite(value)) return 1;
  let power = 2 ** Math.floor(Math.log2(value));
  // Math.log2 may be wrong in its last bit, and differ between runtimes.
  if (power > value) power /= 2;
  else if (power * 2 <= value) power *= 2;
  return power;
}

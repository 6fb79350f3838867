/** webccl's hooks on the gradients that PyTorch's hooks were given (ddp-hooks.py). */
import { allReduceHook, fp16CompressHook } from "../../src/ddp/index.ts";
import { f16ToF32, f32ToF16 } from "../../src/executor/cpu/half.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { bucketOf } from "../ddp/ranks.ts";

/** What ddp-hooks.py prints. Tensors are f32 in base64. */
export interface RecordedHooks {
  ranks: number;
  steps: { gradients: string[]; mean: string; halved: string }[];
}

function decode(text: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(text, "base64")).buffer);
}

/** The unit of a float with so many bits behind the point, at this magnitude; that of the smallest normal number below it. */
function ulp(magnitude: number, bits: number, leastExponent: number): number {
  return 2 ** (Math.max(Math.floor(Math.log2(magnitude)), leastExponent) - bits);
}

/** x rounded to f16. */
const half = (value: number) => f16ToF32(f32ToF16(value));

/** The sums of `addends` in f16, by the order in which they are added: each order that gives another sum counts once. */
function sumsInEveryOrder(addends: readonly number[]): Set<number> {
  if (addends.length === 1) return new Set(addends);
  const sums = new Set<number>();
  for (const [i, last] of addends.entries()) {
    for (const sum of sumsInEveryOrder(addends.filter((_, other) => other !== i))) sums.add(half(sum + last));
  }
  return sums;
}

/** How far webccl is from PyTorch, over all steps and elements. */
export interface Differences {
  /** allReduceHook, in ulps of f32 at the mean magnitude of the gradients, which bounds every partial sum. */
  allReduce: number;
  /**
   * fp16CompressHook: PyTorch's result from the nearest sum of the same addends in another order, in ulps of f16 at that sum. gloo
   * does not add in rank order, and two orders may be two ulps apart.
   */
  fp16Compress: number;
  /** Elements for which webccl's own result is none of these sums. */
  strangers: number;
}

/** Runs the hooks on the recorded gradients. */
export async function differencesOf(groups: readonly ProcessGroup[], recorded: RecordedHooks): Promise<Differences> {
  const worst = { allReduce: 0, fp16Compress: 0, strangers: 0 };
  const factor = Math.fround(1 / recorded.ranks);
  for (const { gradients, mean, halved } of recorded.steps) {
    const inputs = gradients.map(decode);
    const run = async (hook: typeof allReduceHook) => {
      const results = await Promise.all(
        groups.map((group, rank) => hook(group, bucketOf(inputs[rank]!.slice(), [[inputs[rank]!.length]]))),
      );
      return results[0] as Float32Array;
    };
    const own = { mean: await run(allReduceHook), halved: await run(fp16CompressHook) };
    const theirs = { mean: decode(mean), halved: decode(halved) };
    for (const i of own.mean.keys()) {
      const magnitude = inputs.reduce((sum, values) => sum + Math.abs(values[i]!), 0) / inputs.length;
      const units = Math.abs(own.mean[i]! - theirs.mean[i]!) / ulp(magnitude, 23, -126);
      worst.allReduce = Math.max(worst.allReduce, units);
      const sums = [...sumsInEveryOrder(inputs.map((values) => half(half(values[i]!) * factor)))];
      const distances = sums.map((sum) => Math.abs(sum - theirs.halved[i]!) / ulp(Math.abs(sum), 10, -14));
      worst.fp16Compress = Math.max(worst.fp16Compress, Math.min(...distances));
      if (!sums.includes(own.halved[i]!)) worst.strangers++;
    }
  }
  return worst;
}

/** webccl's hooks on the gradients that PyTorch's hooks were given (ddp-hooks.py). */
import { allReduceHook, fp16CompressHook } from "../../src/ddp/index.ts";
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

/**
 * Which rank's gradient gloo adds as the `place`-th, from 0, to element `index` of an allreduce of `count` elements on `size` ranks.
 *
 * Its ring cuts the tensor into a chunk for each rank, of two segments each (more only above 1 MiB a segment). Chunk c begins at
 * rank c - 1 and goes down the ranks until it comes to rank c; each rank on its way adds its own elements.
 */
function rankInGloosOrder(index: number, place: number, count: number, size: number): number {
  const segment = Math.ceil(count / (2 * size));
  const chunk = Math.floor(index / (2 * segment));
  return (chunk + 2 * size - 1 - place) % size;
}

/** `inputs` so that a fold in rank order adds each element in gloo's order. */
function inGloosOrder(inputs: readonly Float32Array[]): Float32Array[] {
  const count = inputs[0]!.length;
  return inputs.map((_, place) =>
    Float32Array.from({ length: count }, (_, i) => inputs[rankInGloosOrder(i, place, count, inputs.length)]![i]!),
  );
}

/** How far webccl is from PyTorch, over all steps and elements. */
export interface Differences {
  /** allReduceHook, in ulps of f32 at the mean magnitude of the gradients, which bounds every partial sum. */
  allReduce: number;
  /** fp16CompressHook where both add in gloo's order: in how many elements the bits differ. */
  fp16CompressBits: number;
  /** fp16CompressHook in rank order, beside gloo's: in ulps of f16 at the mean magnitude. Two orders round differently. */
  fp16CompressInRankOrder: number;
}

/** Runs the hooks on the recorded gradients. `groups` are deterministic, and so add in rank order. */
export async function differencesOf(groups: readonly ProcessGroup[], recorded: RecordedHooks): Promise<Differences> {
  const worst = { allReduce: 0, fp16CompressBits: 0, fp16CompressInRankOrder: 0 };
  for (const { gradients, mean, halved } of recorded.steps) {
    const inputs = gradients.map(decode);
    const run = async (hook: typeof allReduceHook, given: readonly Float32Array[]) => {
      const results = await Promise.all(
        groups.map((group, rank) => hook(group, bucketOf(given[rank]!.slice(), [[given[rank]!.length]]))),
      );
      return results[0] as Float32Array;
    };
    const ordered = inGloosOrder(inputs);
    const own = {
      mean: await run(allReduceHook, ordered),
      halved: await run(fp16CompressHook, ordered),
      inRankOrder: await run(fp16CompressHook, inputs),
    };
    const theirs = { mean: decode(mean), halved: decode(halved) };
    for (const i of own.mean.keys()) {
      const magnitude = inputs.reduce((sum, values) => sum + Math.abs(values[i]!), 0) / inputs.length;
      const apart = (a: Float32Array, b: Float32Array) => Math.abs(a[i]! - b[i]!);
      worst.allReduce = Math.max(worst.allReduce, apart(own.mean, theirs.mean) / ulp(magnitude, 23, -126));
      if (!Object.is(own.halved[i], theirs.halved[i])) worst.fp16CompressBits++;
      const units = apart(own.inRankOrder, theirs.halved) / ulp(magnitude, 10, -14);
      worst.fp16CompressInRankOrder = Math.max(worst.fp16CompressInRankOrder, units);
    }
  }
  return worst;
}

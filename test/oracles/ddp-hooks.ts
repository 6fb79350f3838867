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
 * The largest differences from PyTorch's results over all steps and elements: of allReduceHook in ulps of f32, of
 * fp16CompressHook in ulps of f16. The ulp of an element is that of its largest gradient on any rank: gloo and webccl add in
 * other orders, and a sum near 0 keeps the rounding of its addends.
 */
export async function differencesOf(
  groups: readonly ProcessGroup[],
  recorded: RecordedHooks,
): Promise<{ allReduce: number; fp16Compress: number }> {
  const worst = { allReduce: 0, fp16Compress: 0 };
  for (const { gradients, mean, halved } of recorded.steps) {
    const inputs = gradients.map(decode);
    const run = async (hook: typeof allReduceHook) => {
      const results = await Promise.all(
        groups.map((group, rank) => hook(group, bucketOf(inputs[rank]!.slice(), [[inputs[rank]!.length]]))),
      );
      return results[0] as Float32Array;
    };
    const own = { allReduce: await run(allReduceHook), fp16Compress: await run(fp16CompressHook) };
    const theirs = { allReduce: decode(mean), fp16Compress: decode(halved) };
    for (const i of own.allReduce.keys()) {
      const magnitude = Math.max(...inputs.map((values) => Math.abs(values[i]!)));
      const units = { allReduce: ulp(magnitude, 23, -126), fp16Compress: ulp(magnitude, 10, -14) };
      for (const hook of ["allReduce", "fp16Compress"] as const) {
        worst[hook] = Math.max(worst[hook], Math.abs(own[hook][i]! - theirs[hook][i]!) / units[hook]);
      }
    }
  }
  return worst;
}

/**
 * Gradients in 16 bits on the wire: half the bytes of f32. They are rounded to nearest, ties to even, averaged in the narrow
 * dtype as `allReduce` does it (docs/arithmetic.md), and widened again. f16 has 11 bits of precision, and 65520 and more becomes
 * Inf; bf16 has 8 bits and the range of f32. NaN and Inf stay. No state is kept, and what is rounded away is lost.
 *
 * Bytes: one allReduce of 2 bytes per element.
 * Source: fp16_compress_hook and bf16_compress_hook of torch.distributed.algorithms.ddp_comm_hooks.default_hooks.
 */
import { Elementwise } from "../../elementwise/elementwise.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import { describe } from "../../tensor/describe.ts";
import type { GpuView, HostView } from "../../tensor/view.ts";
import type { Tensor } from "../../types.ts";
import { type CommHook, tensorOfHookResult } from "../comm-hook.ts";
import { GradBucket } from "../grad-bucket.ts";
import { free } from "../reducer/memory.ts";
import { offsetsOf } from "./bucket-states.ts";
import { bucketInTurn, inTurnOf, turnOfBucket } from "./bucket-turn.ts";
import { compressible, isForKernels, narrowInto, readGradients, writeGradients } from "./gradients.ts";

type Half = "f16" | "bf16";

/**
 * The bucket's average by way of f16. The state is the group.
 * @throws TypeError if the bucket's dtype is not f16, bf16, f32 or f64. @throws UnsupportedError if it is in CUDA memory.
 */
export const fp16CompressHook: CommHook<ProcessGroup> = (group, bucket) =>
  throughHalf("fp16CompressHook", "f16", group, bucket);

/** As {@link fp16CompressHook}, by way of bf16. */
export const bf16CompressHook: CommHook<ProcessGroup> = (group, bucket) =>
  throughHalf("bf16CompressHook", "bf16", group, bucket);

/**
 * A hook that gives `hook` the gradients in f16, and widens its result: for a hook that compresses in another way, such as PowerSGD.
 * The inner bucket is in host memory.
 */
export function fp16CompressWrapper<S extends HasGroup>(hook: CommHook<S>): CommHook<S> {
  return wrapper("fp16CompressWrapper", "f16", hook);
}

/** As {@link fp16CompressWrapper}, with bf16. */
export function bf16CompressWrapper<S extends HasGroup>(hook: CommHook<S>): CommHook<S> {
  return wrapper("bf16CompressWrapper", "bf16", hook);
}

/** A state that is a group, or has one. */
export type HasGroup = ProcessGroup | { readonly group: ProcessGroup };

function groupOf(state: HasGroup): ProcessGroup {
  return "group" in state ? state.group : state;
}

async function throughHalf(name: string, dtype: Half, group: ProcessGroup, bucket: GradBucket): Promise<Tensor> {
  const view = compressible(name, group, bucket.buffer());
  const { half, work } = await inTurnOf(group, bucket, async (part) => {
    const half = await narrowed(group, view, dtype);
    return { half, work: group.allReduce(half, { ...part, op: "avg" }) };
  });
  try {
    await work;
    await widen(group, half, view);
  } finally {
    free(half);
  }
  return bucket.buffer();
}

/** A copy of the gradients in 16 bits: by a kernel where they are on a GPU that has one, else in host memory. */
async function narrowed(group: ProcessGroup, view: HostView | GpuView, dtype: Half): Promise<Tensor> {
  if (isForKernels(view)) return new Elementwise(group.device).convert(view.tensor, dtype);
  const half = { data: new Uint16Array(view.count), dtype };
  narrowInto(half.data, dtype, await readGradients(group, view));
  return half;
}

/** The gradients become those of the copy that {@link narrowed} made. */
async function widen(group: ProcessGroup, half: Tensor, view: HostView | GpuView): Promise<void> {
  if (isForKernels(view)) new Elementwise(group.device).convert(half, view.dtype, view.tensor);
  else await writeGradients(group, view, await readGradients(group, describe(half) as HostView));
}

function wrapper<S extends HasGroup>(name: string, dtype: Half, hook: CommHook<S>): CommHook<S> {
  if (typeof hook !== "function") throw new TypeError(`${name}: the hook must be a function, got ${typeof hook}`);
  return async (state, bucket) => {
    const group = groupOf(state);
    const view = compressible(name, group, bucket.buffer());
    const half = { data: new Uint16Array(view.count), dtype };
    const parts = {
      index: bucket.index(),
      buffer: half,
      offsets: offsetsOf(bucket),
      parameters: bucket.parameters(),
      isLast: bucket.isLast(),
    };
    const inner = bucketInTurn(new GradBucket(parts), turnOfBucket(bucket));
    // The hook comes behind this part of the turn, or takes a turn of its own, so this one must not wait for it.
    const { reduced } = await inTurnOf(group, bucket, async () => {
      narrowInto(half.data, dtype, await readGradients(group, view));
      return { reduced: hook(state, inner) };
    });
    const result = compressible(name, group, tensorOfHookResult(await reduced));
    await writeGradients(group, view, await readGradients(group, result));
    return bucket.buffer();
  };
}

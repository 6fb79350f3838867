/** Ranks of one process, and buckets of gradients for them. */
import { expect, onTestFinished } from "vitest";
import type { InitOptions } from "../../src/bring-up/init-options.ts";
import { GradBucket } from "../../src/ddp/grad-bucket.ts";
import { MismatchError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import type { SeededRandom } from "../../src/support/seeded-random.ts";
import type { Tensor } from "../../src/types.ts";

let jobs = 0;

/** The groups of `size` ranks, which end with the test. */
export async function ranksOf(size: number, options: InitOptions = {}): Promise<ProcessGroup[]> {
  const initMethod = `memory://ddp-${jobs++}`;
  const groups = await Promise.all(
    Array.from({ length: size }, (_, rank) => initProcessGroup({ initMethod, rank, worldSize: size, ...options })),
  );
  onTestFinished(async () => {
    await Promise.all(groups.map((group) => group.destroy()));
  });
  return groups;
}

/** Holds if a call that rank 0 refuses, which then makes it well, is a MismatchError on rank 1 and no result; the group goes on. */
export async function expectToldRefusal(
  call: (group: ProcessGroup, isWrong: boolean) => Promise<unknown>,
): Promise<void> {
  const [first, second] = (await ranksOf(2)) as [ProcessGroup, ProcessGroup];
  const waiting = call(second, false).catch((error: unknown) => error);
  await expect(call(first, true)).rejects.toThrow(/must|has|root/);
  await expect(call(first, false)).rejects.toBeInstanceOf(MismatchError);
  expect(await waiting).toBeInstanceOf(MismatchError);
  await Promise.all([first.barrier(), second.barrier()]);
}

/** A bucket over `buffer` of gradients of these shapes, one behind the other. */
export function bucketOf(buffer: Tensor, shapes: readonly (readonly number[])[], index = 0): GradBucket {
  let end = 0;
  const offsets = shapes.map((shape) => {
    const start = end;
    end += shape.reduce((count, length) => count * length, 1);
    return start;
  });
  const parameters = shapes.map((shape) => ({ tensor: buffer, shape }));
  return new GradBucket({ index, buffer, offsets, parameters, isLast: true });
}

/** Values like gradients: of both signs, over some orders of magnitude, some of them 0. */
export function gradients(random: SeededRandom, count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, () => {
    const sign = random.u32() & 1 ? 1 : -1;
    return random.below(20) === 0 ? 0 : sign * 2 ** (random.below(8000) / 1000 - 8);
  });
}

/** The mean of each element, in f64. */
export function meanOf(inputs: readonly ArrayLike<number>[]): Float64Array {
  const [first] = inputs;
  return Float64Array.from({ length: first?.length ?? 0 }, (_, i) => {
    return inputs.reduce((sum, values) => sum + (values[i] ?? 0), 0) / inputs.length;
  });
}

/** The largest difference of two lists. */
export function mostDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs((a[i] ?? 0) - (b[i] ?? 0)));
  return most;
}

/** What its readbacks cost an operation on GPUBuffers: pure functions of what was heard of it. */
import type { Transfer } from "../../algorithm/context.ts";
import type { ReadbackTimes } from "../../executor/webgpu/webgpu.ts";
import { medianOf, type ReadbackCost, slowest } from "./report.ts";

/** A stretch of time, in milliseconds. */
interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** What an operation cost of which these are all readbacks and transfers. */
export function readbackCost(readbacks: readonly ReadbackTimes[], transfers: readonly Transfer[]): ReadbackCost {
  const sends = transfers.filter(({ step }) => step === "send");
  const mapWaitUs = 1000 * msWithout(readbacks, sends);
  const kernels = kernelsOf(readbacks);
  const exposedReadbackUs = kernels && 1000 * msWithout(readbacks, [...sends, ...kernels]);
  return { mapAsyncCalls: readbacks.length, mapWaitUs, exposedReadbackUs };
}

/** `perRank[r][i]` is what run i cost rank r. */
export function typicalCost(perRank: readonly (readonly ReadbackCost[])[]): ReadbackCost {
  return {
    mapAsyncCalls: typical(perRank, ({ mapAsyncCalls }) => mapAsyncCalls),
    mapWaitUs: typical(perRank, ({ mapWaitUs }) => mapWaitUs),
    exposedReadbackUs: perRank.every(areExposed)
      ? typical(perRank, ({ exposedReadbackUs }) => exposedReadbackUs)
      : null,
  };
}

/** A cost whose device has timestamp-query. */
type ExposedCost = ReadbackCost & { exposedReadbackUs: number };

const areExposed = (costs: readonly ReadbackCost[]): costs is readonly ExposedCost[] =>
  costs.every(({ exposedReadbackUs }) => exposedReadbackUs !== null);

const typical = <C>(perRank: readonly (readonly C[])[], of: (cost: C) => number): number =>
  medianOf(slowest(perRank.map((costs) => costs.map(of))));

/**
 * The passes of kernels in the host's time; null if any are not told. How the device's clock stands to the host's follows from
 * what must be: a pass begins after its submit, and is over before a readback that comes after it. The middle of what that
 * leaves is taken.
 */
function kernelsOf(readbacks: readonly ReadbackTimes[]): Stretch[] | null {
  let [least, most] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const passes: Stretch[] = [];
  for (const readback of readbacks) {
    if (readback.passes === null) return null;
    for (const pass of readback.passes) {
      passes.push(pass);
      least = Math.max(least, pass.submitted - pass.start);
      most = Math.min(most, readback.end - pass.end);
    }
  }
  const offset = (least + most) / 2;
  return passes.map(({ start, end }) => ({ start: start + offset, end: end + offset }));
}

/** How long one of `some` and none of `others` was under way. */
function msWithout(some: readonly Stretch[], others: readonly Stretch[]): number {
  const edges = [some, others].flatMap((stretches, kind) =>
    stretches.flatMap(({ start, end }) => [
      { at: start, kind, change: 1 },
      { at: end, kind, change: -1 },
    ]),
  );
  edges.sort((a, b) => a.at - b.at);
  const underWay: [some: number, others: number] = [0, 0];
  let total = 0;
  let since = 0;
  for (const { at, kind, change } of edges) {
    if (underWay[0] > 0 && underWay[1] === 0) total += at - since;
    underWay[kind as 0 | 1] += change;
    since = at;
  }
  return total;
}

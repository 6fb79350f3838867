/** The cost of readbacks to an operation on GPUBuffers: pure functions of the times that listeners got. */
import type { Transfer } from "../../algorithm/context.ts";
import type { ReadbackTimes } from "../../executor/webgpu/create-executor.ts";
import { medianOf, type ReadbackCost, slowest } from "./report.ts";

/** A stretch of time, in milliseconds. */
interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** The cost of the operation that had these readbacks and transfers. */
export function readbackCost(readbacks: readonly ReadbackTimes[], transfers: readonly Transfer[]): ReadbackCost {
  const sends = transfers.filter(({ step }) => step === "send");
  const mapWaitUs = 1000 * msWithout(readbacks, sends);
  const kernels = kernelsOf(readbacks);
  const exposedReadbackUs = kernels && 1000 * msWithout(readbacks, [...sends, ...kernels]);
  return { mapAsyncCalls: readbacks.length, mapWaitUs, exposedReadbackUs };
}

/** The median run of the slowest rank. `perRank[r][i]` is the cost of run i to rank r. */
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
 * The passes of kernels in the host's time; null if the times of any are unknown. A pass begins after its submit and is over
 * before the readback that follows it. These bounds leave a range for the offset between the device's clock and the host's;
 * its middle is taken.
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

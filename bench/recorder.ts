/**
 * What the flight recorder costs a call: the time of one record, its beginning and its end. `npx tsx bench/recorder.ts` prints the
 * median of 21 rounds in nanoseconds of the process's own time, for calls of one kind and for a mix of all kinds, whose requests have different fields.
 */
import type { Call } from "../src/backend/backend.ts";
import type { PreparedCall } from "../src/group/prepared-call.ts";
import { Recorder } from "../src/group/trace/recorder.ts";
import { ReduceOp } from "../src/reduce-op.ts";
import type { TensorView } from "../src/tensor/view.ts";

const RECORDS = 200_000;
const ROUNDS = 21;

const tensor = new Float32Array(16);
const view = (): TensorView => ({
  ...{
    memory: "host",
    tensor,
    data: tensor,
    dtype: "f32",
    count: 16,
    byteOffset: 0,
    byteLength: 64,
    buffer: tensor.buffer,
  },
});
const value = () => undefined;

const allReduce = (): PreparedCall<void> => {
  const written = view();
  return { request: { collective: "allReduce", tensor: written, op: ReduceOp.SUM }, written: [written], value };
};
const MIX: readonly (() => PreparedCall<void>)[] = [
  allReduce,
  () => ({ request: { collective: "broadcast", tensor: view(), root: 0 }, read: [view()], written: [], value }),
  () => ({ request: { collective: "barrier" }, value }),
  () => ({ request: { collective: "send", tensor: view(), peer: 1, tag: 0 }, read: [view()], value }),
  () => ({
    request: { collective: "allGatherIntoTensor", output: view(), input: view() },
    ...{ read: [view()], written: [view()], value },
  }),
];

/** The median time of a record, in nanoseconds. */
function measure(calls: readonly PreparedCall<void>[]): number {
  const recorder = new Recorder({ rank: 0, size: 2, version: "", takesStacks: () => false });
  const group = recorder.open({
    name: "g",
    description: "g",
    rank: 0,
    globalRanks: [0, 1],
    timeoutMs: 300_000,
    epoch: 0,
  });
  const call: Call = {
    ...{ sequence: 1, algorithm: undefined, deterministic: false, number: 1, persistent: 0, refusedBefore: 0 },
    ...{ started: performance.now(), began: 0, overwritten: false },
  };
  call.began = call.started;
  const times = Array.from({ length: ROUNDS }, () => {
    const start = process.cpuUsage().user;
    for (let i = 0; i < RECORDS; i++) {
      const id = group.begin(calls[i % calls.length]!, call, 300_000, false);
      group.end(id, call, call.started + 1, null);
    }
    return ((process.cpuUsage().user - start) / RECORDS) * 1e3;
  });
  return times.sort((a, b) => a - b)[ROUNDS >> 1]!;
}

console.log(`one kind of call: ${measure([allReduce()]).toFixed(1)} ns a record`);
console.log(`a mix of calls: ${measure(MIX.map((make) => make())).toFixed(1)} ns a record`);

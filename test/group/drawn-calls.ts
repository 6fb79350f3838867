/** Calls of one element, plain and composed, whose values tell which call of which rank they came from. */
import {
  broadcastCoalesced,
  decodeSafetensors,
  encodeSafetensors,
  gatherCheckpoint,
  loadCheckpoint,
  ShardedOptimizer,
  verifyParamsAcrossProcesses,
} from "../../src/ddp/index.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import * as nn from "../../src/nn/index.ts";
import { runRowParallel } from "../../src/ort/index.ts";
import type { OrtSession } from "../../src/ort/onnx-runtime.ts";
import type { Outputs } from "../../src/ort/run-session.ts";
import { ort } from "../ort/session.ts";

/** Lets so many turns of the event loop pass. */
export async function pause(turns: number): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
}

export const floatTensor = (...values: number[]) =>
  new ort.Tensor("float32", Float32Array.from(values), [1, values.length]);

/** A session whose one output comes from `run`. */
export const sessionOf = (run: () => Promise<ort.Tensor>): OrtSession<object, { y: ort.Tensor } & Outputs> => ({
  outputNames: ["y"],
  run: async () => ({ y: await run() }),
});

/** One call of one element, made at once: `value` is rank 0's, the others' are larger by their rank. Each gives what it gives on this rank, and what it must. */
export type Call = (group: ProcessGroup, value: number, turns: number) => Promise<[given: unknown, expected: unknown]>;

export const sumOf = ({ size }: ProcessGroup, value: number) => size * value + (size * (size - 1)) / 2;

export const COMPOSED: Record<string, Call> = {
  "nn.allReduce": async (group, value) => {
    const [y] = await nn.allReduce(group, Float32Array.of(value + group.rank));
    return [(y as Float32Array)[0], sumOf(group, value)];
  },
  "nn.allReduce of max": async (group, value) => {
    const [y] = await nn.allReduce(group, Float32Array.of(value + group.rank), { op: "max" });
    return [(y as Float32Array)[0], value + group.size - 1];
  },
  broadcastCoalesced: async (group, value) => {
    const tensors = [0, 1, 2].map((i) => Float32Array.of(value + i + 100 * group.rank));
    await broadcastCoalesced(group, tensors, { bufferBytes: 4 });
    return [tensors.map(([x]) => x), [value, value + 1, value + 2]];
  },
  gatherCheckpoint: async (group, value) => {
    const own = { [`of ${group.rank}`]: { tensor: Float32Array.of(value + group.rank), shape: [1] } };
    const file = await gatherCheckpoint(group, own);
    if (!file) return [group.rank > 0, true];
    const given = [...decodeSafetensors(file).tensors].map(([name, { tensor }]) => [name, (tensor as Float32Array)[0]]);
    return [given.sort(), Array.from({ length: group.size }, (_, rank) => [`of ${rank}`, value + rank])];
  },
  loadCheckpoint: async (group, value) => {
    const file = encodeSafetensors({ a: { tensor: Float32Array.of(value), shape: [1] } });
    const { tensors } = await loadCheckpoint(group, group.rank === 0 ? file : null);
    return [(tensors.get("a")!.tensor as Float32Array)[0], value];
  },
  verifyParams: async (group) => {
    await verifyParamsAcrossProcesses(group, [{ tensor: new Float32Array(1), shape: [1] }]);
    return [0, 0];
  },
  ShardedOptimizer: async (group, value, turns) => {
    const parameter = Float32Array.of(value);
    const rule = { initialState: () => 0, update: () => pause(turns) };
    const optimizer = new ShardedOptimizer({ group, parameters: [{ tensor: parameter, shape: [1] }], rule });
    await optimizer.step([new Float32Array(1)]);
    return [parameter[0], value];
  },
  runRowParallel: async (group, value, turns) => {
    const session = sessionOf(async () => {
      await pause(turns);
      return floatTensor(value + group.rank);
    });
    return [(await runRowParallel(group, session, {})).y.data[0], sumOf(group, value)];
  },
};

export const PLAIN: Record<string, Call> = {
  allReduce: async (group, value) => {
    const tensor = Float32Array.of(value + group.rank);
    await group.allReduce(tensor);
    return [tensor[0], sumOf(group, value)];
  },
  broadcast: async (group, value) => {
    const tensor = Float32Array.of(value + group.rank);
    await group.broadcast(tensor);
    return [tensor[0], value];
  },
  allGatherObject: async (group, value) => [
    await group.allGatherObject(value + group.rank),
    Array.from({ length: group.size }, (_, rank) => value + rank),
  ],
};

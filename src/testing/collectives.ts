/** The contract of each collective, stated once: the tensors before, the call, the tensors after. */
import type { DataType, HostArray, Tensor } from "../types.ts";
import { arrayOf } from "./reference.ts";
import type { Stage } from "./stage.ts";

/** One collective, or one way to call it. */
export interface CollectiveCase {
  /** Has it an operation? */
  readonly reduces: boolean;
  /** The dtypes of its cases. Default: all. */
  readonly dtypes?: readonly DataType[];
  /** Operations that have no meaning for it. */
  readonly without?: readonly string[];
  /** Fewest ranks. Default: 1. */
  readonly ranks?: number;
  /** May it be persistent calls? All collectives on tensors may. */
  readonly persistent?: boolean;
  run(stage: Stage): Promise<void>;
}

/** The arrays one after the other. */
function concat(dtype: DataType, arrays: readonly HostArray[]): HostArray {
  const result = arrayOf(
    dtype,
    arrays.reduce((length, array) => length + array.length, 0),
  );
  let at = 0;
  for (const array of arrays) {
    (result as Uint8Array).set(array as Uint8Array, at);
    at += array.length;
  }
  return result;
}

/** Where each of the lengths starts. */
function starts(lengths: readonly number[]): number[] {
  let next = 0;
  return lengths.map((length) => {
    const start = next;
    next += length;
    return start;
  });
}

const sum = (lengths: readonly number[]): number => lengths.reduce((total, length) => total + length, 0);

const broadcast: CollectiveCase = {
  reduces: false,
  async run(stage) {
    const data = stage.input(stage.root);
    const tensor = stage.rank === stage.root ? stage.tensor(data, data, true) : stage.output(data, true);
    await stage.calls.broadcast(tensor, { root: stage.root });
  },
};

const allReduce: CollectiveCase = {
  reduces: true,
  async run(stage) {
    await stage.calls.allReduce(stage.tensor(stage.input(stage.rank), stage.reduced(), true), { op: stage.op });
  },
};

const reduce: CollectiveCase = {
  reduces: true,
  async run(stage) {
    const data = stage.input(stage.rank);
    const tensor = stage.tensor(data, stage.rank === stage.root ? stage.reduced() : data);
    await stage.calls.reduce(tensor, { root: stage.root, op: stage.op });
  },
};

const allGather: CollectiveCase = {
  reduces: false,
  async run(stage) {
    const outputs = stage.ranks.map((rank) => stage.output(stage.input(rank, stage.uneven(rank)), true));
    await stage.calls.allGather(outputs, stage.tensor(stage.input(stage.rank, stage.uneven(stage.rank))));
  },
};

const allGatherInPlace: CollectiveCase = {
  reduces: false,
  async run(stage) {
    const data = (rank: number) => stage.input(rank, stage.uneven(rank));
    const outputs = stage.ranks.map((rank) =>
      rank === stage.rank ? stage.tensor(data(rank), data(rank), true) : stage.output(data(rank), true),
    );
    await stage.calls.allGather(outputs, outputs[stage.rank] as Tensor);
  },
};

const allGatherIntoTensor: CollectiveCase = {
  reduces: false,
  async run(stage) {
    const gathered = concat(
      stage.spec.dtype,
      stage.ranks.map((rank) => stage.input(rank)),
    );
    await stage.calls.allGatherIntoTensor(stage.output(gathered, true), stage.tensor(stage.input(stage.rank)));
  },
};

const allGatherIntoTensorInPlace: CollectiveCase = {
  reduces: false,
  async run(stage) {
    const { rank, count, spec } = stage;
    const gathered = concat(
      spec.dtype,
      stage.ranks.map((peer) => stage.input(peer)),
    );
    const noise = stage.ranks.map((peer) => stage.input(rank, count, peer === rank ? 0 : 1));
    const output = stage.tensor(concat(spec.dtype, noise), gathered, true);
    const own = stage.part(output, rank * count, count) ?? stage.tensor(stage.input(rank));
    await stage.calls.allGatherIntoTensor(output, own);
  },
};

/** `inPlace`: the root's own part is where it belongs already. */
const gather = (inPlace: boolean): CollectiveCase => ({
  reduces: false,
  async run(stage) {
    const { root, rank } = stage;
    const data = (peer: number) => stage.input(peer, stage.uneven(peer));
    const input = stage.tensor(data(rank));
    if (rank !== root) await stage.calls.gather(null, input, { root });
    else {
      const outputs = stage.ranks.map((peer) => (inPlace && peer === root ? input : stage.output(data(peer))));
      await stage.calls.gather(outputs, input, { root });
    }
  },
});

const scatter = (inPlace: boolean): CollectiveCase => ({
  reduces: false,
  async run(stage) {
    const { root, rank } = stage;
    const lengths = stage.ranks.map((peer) => stage.uneven(peer));
    const pieces = starts(lengths).map((start, peer) => stage.input(root, lengths[peer], start));
    const inputs = rank === root ? pieces.map((piece) => stage.tensor(piece)) : null;
    const own = inPlace ? inputs?.[rank] : undefined;
    await stage.calls.scatter(own ?? stage.output(pieces[rank] as HostArray), inputs, { root });
  },
});

/** `inPlace`: the result replaces this rank's own part of the input. */
const reduceScatter = (inPlace: boolean): CollectiveCase => ({
  reduces: true,
  async run(stage) {
    const { rank } = stage;
    const lengths = stage.ranks.map((peer) => stage.uneven(peer));
    const first = starts(lengths);
    const result = stage.reduced(lengths[rank], first[rank]);
    const inputs = lengths.map((length, peer) => {
      const data = stage.input(rank, length, first[peer]);
      return stage.tensor(data, inPlace && peer === rank ? result : data);
    });
    const output = inPlace ? (inputs[rank] as Tensor) : stage.output(result);
    await stage.calls.reduceScatter(output, inputs, { op: stage.op });
  },
});

const reduceScatterTensor: CollectiveCase = {
  reduces: true,
  async run(stage) {
    const { rank, count, size } = stage;
    const output = stage.output(stage.reduced(count, rank * count));
    await stage.calls.reduceScatterTensor(output, stage.tensor(stage.input(rank, count * size)), { op: stage.op });
  },
};

const reduceScatterTensorInPlace: CollectiveCase = {
  reduces: true,
  async run(stage) {
    const { rank, count, spec } = stage;
    const blocks = stage.ranks.map((peer) => stage.input(rank, count, peer * count));
    const before = concat(spec.dtype, blocks);
    const result = stage.reduced(count, rank * count);
    const input = stage.tensor(before);
    const part = stage.part(input, rank * count, count);
    if (part) {
      const after = blocks.map((block, peer) => (peer === rank ? result : block));
      stage.expect(input, concat(spec.dtype, after));
    }
    await stage.calls.reduceScatterTensor(part ?? stage.output(result), input, { op: stage.op });
  },
};

/** Elements that rank `from` has for rank `to`. */
const forPeer = (stage: Stage, from: number, to: number): number => stage.uneven(from + 2 * to);

/** The parts of `from`'s input that go to each rank. */
function sharesOf(stage: Stage, from: number): HostArray[] {
  const lengths = stage.ranks.map((to) => forPeer(stage, from, to));
  return starts(lengths).map((start, to) => stage.input(from, lengths[to], start));
}

const received = (stage: Stage): HostArray[] =>
  stage.ranks.map((from) => sharesOf(stage, from)[stage.rank] as HostArray);

const allToAll: CollectiveCase = {
  reduces: false,
  async run(stage) {
    const inputs = sharesOf(stage, stage.rank).map((share) => stage.tensor(share));
    const outputs = received(stage).map((share) => stage.output(share));
    await stage.calls.allToAll(outputs, inputs);
  },
};

const allToAllSingle: CollectiveCase = {
  reduces: false,
  async run(stage) {
    const { count, size, rank } = stage;
    const blocks = stage.ranks.map((from) => stage.input(from, count, rank * count));
    const output = stage.output(concat(stage.spec.dtype, blocks));
    await stage.calls.allToAllSingle(output, stage.tensor(stage.input(rank, count * size)));
  },
};

const allToAllSingleSplits: CollectiveCase = {
  reduces: false,
  async run(stage) {
    const inputSplits = stage.ranks.map((to) => forPeer(stage, stage.rank, to));
    const outputSplits = stage.ranks.map((from) => forPeer(stage, from, stage.rank));
    const input = stage.tensor(stage.input(stage.rank, sum(inputSplits)));
    const output = stage.output(concat(stage.spec.dtype, received(stage)));
    await stage.calls.allToAllSingle(output, input, { inputSplits, outputSplits });
  },
};

/** Lengths of the tensors of one coalesced call. */
const coalescedLengths = (stage: Stage): number[] => [stage.uneven(0), stage.count, stage.uneven(2)];

const allReduceCoalesced: CollectiveCase = {
  reduces: true,
  async run(stage) {
    const lengths = coalescedLengths(stage);
    const tensors = starts(lengths).map((start, index) =>
      stage.tensor(stage.input(stage.rank, lengths[index], start), stage.reduced(lengths[index], start), true),
    );
    await stage.calls.allReduceCoalesced(tensors, { op: stage.op });
  },
};

const allGatherIntoTensorCoalesced: CollectiveCase = {
  reduces: false,
  async run(stage) {
    const lengths = coalescedLengths(stage);
    const first = starts(lengths);
    const inputs = lengths.map((length, index) => stage.tensor(stage.input(stage.rank, length, first[index])));
    const outputs = lengths.map((length, index) => {
      const blocks = stage.ranks.map((rank) => stage.input(rank, length, first[index]));
      return stage.output(concat(stage.spec.dtype, blocks), true);
    });
    await stage.calls.allGatherIntoTensorCoalesced(outputs, inputs);
  },
};

const reduceScatterTensorCoalesced: CollectiveCase = {
  reduces: true,
  async run(stage) {
    const { rank, size } = stage;
    const lengths = coalescedLengths(stage);
    const first = starts(lengths.map((length) => length * size));
    const inputs = lengths.map((length, index) => stage.tensor(stage.input(rank, length * size, first[index])));
    const outputs = lengths.map((length, index) =>
      stage.output(stage.reduced(length, (first[index] as number) + rank * length)),
    );
    await stage.calls.reduceScatterTensorCoalesced(outputs, inputs, { op: stage.op });
  },
};

const scan: CollectiveCase = {
  reduces: true,
  // The mean of a prefix is nowhere defined: MPI has no mean.
  without: ["avg"],
  async run(stage) {
    const tensor = stage.tensor(stage.input(stage.rank), stage.prefix(stage.rank));
    await stage.calls.scan(tensor, { op: stage.op });
  },
};

const exscan: CollectiveCase = {
  reduces: true,
  without: ["avg"],
  async run(stage) {
    const data = stage.input(stage.rank);
    const tensor = stage.tensor(data, stage.rank === 0 ? data : stage.prefix(stage.rank - 1));
    await stage.calls.exscan(tensor, { op: stage.op });
  },
};

/** The collectives that reduce or move tensors among all ranks. */
export const TENSOR_COLLECTIVES = {
  broadcast,
  allReduce,
  reduce,
  allGather,
  allGatherInPlace,
  allGatherIntoTensor,
  allGatherIntoTensorInPlace,
  gather: gather(false),
  gatherInPlace: gather(true),
  scatter: scatter(false),
  scatterInPlace: scatter(true),
  reduceScatter: reduceScatter(false),
  reduceScatterInPlace: reduceScatter(true),
  reduceScatterTensor,
  reduceScatterTensorInPlace,
  allToAll,
  allToAllSingle,
  allToAllSingleSplits,
  allReduceCoalesced,
  allGatherIntoTensorCoalesced,
  reduceScatterTensorCoalesced,
  scan,
  exscan,
} as const satisfies Record<string, CollectiveCase>;

/**
 * A process group that cannot be wrong about messages, for it has none: when all ranks have made a call, one function sees
 * all their tensors. It is here to try the conformance suite on, right and with one mistake put in.
 */

import type { ProcessGroup } from "../../src/group/process-group.ts";
import { type ReduceOp, resolveReduceOp } from "../../src/reduce-op.ts";
import { describeHost } from "../../src/tensor/host.ts";
import { foldElements } from "../../src/testing/index.ts";
import type { DataType, HostArray, Tensor } from "../../src/types.ts";

const dataOf = (tensor: Tensor) => ("data" in tensor ? tensor.data : (tensor as HostArray));
const bytesOf = (array: HostArray) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** Copies, as numbers or bigints alike. */
function put(target: Tensor, source: HostArray, start = 0, count = source.length - start): void {
  const from = source.subarray(start, start + count);
  bytesOf(dataOf(target)).set(bytesOf(from));
}

/** One rank's call. */
// biome-ignore lint/suspicious/noExplicitAny: arguments of every collective
type Args = any[];

interface Pending {
  args: Args[];
  resolve: ((value: unknown) => void)[];
}

/** A mistake to make: called with a tensor that was just written, with the rank and the collective. */
export type Spoil = (collective: string, rank: number, written: HostArray) => void;

/** The state of a group, common to all its ranks. */
class Room {
  readonly size: number;
  readonly spoil: Spoil;
  readonly calls = new Map<number, Pending>();
  readonly messages = new Map<string, HostArray[]>();
  readonly waiting = new Map<string, (() => void)[]>();

  constructor(size: number, spoil: Spoil) {
    this.size = size;
    this.spoil = spoil;
  }
}

type Handler = (args: Args[], done: (rank: number, tensor: Tensor) => void) => unknown[] | undefined;

const opOf = (args: Args, dtype: DataType): ReduceOp => resolveReduceOp(args[args.length - 1]?.op ?? "sum", dtype);
const copies = (tensors: Tensor[]): HostArray[] => tensors.map((tensor) => dataOf(tensor).slice());

/** The reduction of one tensor per rank. */
function reduced(tensors: Tensor[], args: Args[], size = tensors.length): HostArray {
  const { dtype } = describeHost(tensors[0] as Tensor);
  return foldElements(
    dtype,
    args.map((one) => opOf(one, dtype)),
    copies(tensors),
    size,
  );
}

const HANDLERS: Record<string, Handler> = {
  broadcast(args, done) {
    const source = dataOf(args[args[0]![1].root]![0]).slice();
    args.forEach(([tensor], rank) => {
      put(tensor, source);
      done(rank, tensor);
    });
    return undefined;
  },
  allReduce(args, done) {
    const total = reduced(
      args.map(([tensor]) => tensor),
      args,
    );
    args.forEach(([tensor], rank) => {
      put(tensor, total);
      done(rank, tensor);
    });
    return undefined;
  },
  reduce(args, done) {
    const { root } = args[0]![1];
    put(
      args[root]![0],
      reduced(
        args.map(([tensor]) => tensor),
        args,
      ),
    );
    done(root, args[root]![0]);
    return undefined;
  },
  allGather(args, done) {
    const inputs = copies(args.map(([, input]) => input));
    args.forEach(([outputs], rank) => {
      inputs.forEach((input, peer) => {
        put(outputs[peer], input);
        done(rank, outputs[peer]);
      });
    });
    return undefined;
  },
  allGatherIntoTensor(args, done) {
    const inputs = copies(args.map(([, input]) => input));
    args.forEach(([output], rank) => {
      const data = dataOf(output);
      inputs.forEach((input, peer) => {
        put(data.subarray(peer * input.length), input);
      });
      done(rank, output);
    });
    return undefined;
  },
  gather(args, done) {
    const { root } = args[0]![2];
    copies(args.map(([, input]) => input)).forEach((input, peer) => {
      put(args[root]![0][peer], input);
      done(root, args[root]![0][peer]);
    });
    return undefined;
  },
  scatter(args, done) {
    const pieces = copies(args[args[0]![2].root]![1]);
    args.forEach(([output], rank) => {
      put(output, pieces[rank] as HostArray);
      done(rank, output);
    });
    return undefined;
  },
  reduceScatter(args, done) {
    args.forEach(([output], rank) => {
      put(
        output,
        reduced(
          args.map(([, inputs]) => inputs[rank]),
          args,
        ),
      );
      done(rank, output);
    });
    return undefined;
  },
  reduceScatterTensor(args, done) {
    const total = reduced(
      args.map(([, input]) => input),
      args,
    );
    args.forEach(([output], rank) => {
      const count = dataOf(output).length;
      put(output, total, rank * count, count);
      done(rank, output);
    });
    return undefined;
  },
  allToAll(args, done) {
    args.forEach(([outputs], rank) => {
      args.forEach(([, inputs], peer) => {
        put(outputs[peer], dataOf(inputs[rank]));
        done(rank, outputs[peer]);
      });
    });
    return undefined;
  },
  allToAllSingle(args, done) {
    const equal = (tensor: Tensor) => args.map(() => dataOf(tensor).length / args.length);
    const start = (splits: number[], index: number) => splits.slice(0, index).reduce((a, b) => a + b, 0);
    args.forEach(([output, , options], rank) => {
      const outputSplits = options?.outputSplits ?? equal(output);
      args.forEach(([, input, theirs], peer) => {
        const inputSplits = theirs?.inputSplits ?? equal(input);
        const data = dataOf(output).subarray(start(outputSplits, peer));
        put(data, dataOf(input), start(inputSplits, rank), inputSplits[rank]);
      });
      done(rank, output);
    });
    return undefined;
  },
  barrier: () => undefined,
  scan(args, done) {
    const inputs = copies(args.map(([tensor]) => tensor));
    args.forEach(([tensor], rank) => {
      put(tensor, reduced(inputs.slice(0, rank + 1).map(asLike(tensor)), args.slice(0, rank + 1), args.length));
      done(rank, tensor);
    });
    return undefined;
  },
  exscan(args, done) {
    const inputs = copies(args.map(([tensor]) => tensor));
    args.slice(1).forEach(([tensor], before) => {
      put(tensor, reduced(inputs.slice(0, before + 1).map(asLike(tensor)), args.slice(0, before + 1), args.length));
      done(before + 1, tensor);
    });
    return undefined;
  },
  allGatherObject: (args) => args.map(() => args.map(([value]) => value)),
  broadcastObject: (args) => args.map(() => args[args[0]![1].root]![0]),
  gatherObject: (args) => args.map((_, rank) => (rank === args[0]![1].root ? args.map(([value]) => value) : null)),
  scatterObject: (args) => args.map((_, rank) => args[args[0]![1].root]![0][rank]),
};

/** Calls whose list arguments are calls of another, one by one. */
const COALESCED: Record<string, string> = {
  allReduceCoalesced: "allReduce",
  allGatherIntoTensorCoalesced: "allGatherIntoTensor",
  reduceScatterTensorCoalesced: "reduceScatterTensor",
};

const asLike =
  (model: Tensor) =>
  (data: HostArray): Tensor =>
    "data" in model ? { data, dtype: model.dtype } : data;

/** The ranks of a group in one process; `spoil` may change what was written. */
export function oracleGroups(size: number, spoil: Spoil = () => {}): ProcessGroup[] {
  const room = new Room(size, spoil);
  return Array.from({ length: size }, (_, rank) => oracleRank(room, rank));
}

function oracleRank(room: Room, rank: number): ProcessGroup {
  let sequence = 0;
  const call = (name: string, args: Args, handle: Handler): Promise<unknown> => {
    const number = sequence++;
    const pending = room.calls.get(number) ?? { args: [], resolve: [] };
    room.calls.set(number, pending);
    return new Promise((resolve) => {
      pending.args[rank] = args;
      pending.resolve[rank] = resolve;
      if (Object.keys(pending.args).length < room.size) return;
      const values = handle(pending.args, (target, tensor) => room.spoil(name, target, dataOf(tensor)));
      pending.resolve.forEach((settle, target) => {
        settle(values?.[target]);
      });
    });
  };
  const receive = async (tensor: Tensor, sources: number[], tag: number): Promise<number> => {
    for (;;) {
      for (const source of sources) {
        const message = room.messages.get(`${source}/${rank}/${tag}`)?.shift();
        if (!message) continue;
        put(tensor, message);
        room.spoil("recv", rank, dataOf(tensor));
        return source;
      }
      await new Promise<void>((resolve) => {
        room.waiting.set(`${rank}`, [...(room.waiting.get(`${rank}`) ?? []), resolve]);
      });
    }
  };
  const group: Record<string, unknown> = {
    rank,
    size: room.size,
    destroy: async () => {},
    send: async (tensor: Tensor, to: number, { tag }: { tag: number }) => {
      const key = `${rank}/${to}/${tag}`;
      room.messages.set(key, [...(room.messages.get(key) ?? []), dataOf(tensor).slice()]);
      for (const wake of room.waiting.get(`${to}`)?.splice(0) ?? []) wake();
    },
    recv: (tensor: Tensor, source: number, { tag }: { tag: number }) => receive(tensor, [source], tag),
    recvAnySource: (tensor: Tensor, { tag }: { tag: number }) =>
      receive(
        tensor,
        Array.from({ length: room.size }, (_, peer) => room.size - 1 - peer),
        tag,
      ),
    newGroup: (members: number[]) =>
      call("newGroup", [members], (args) => {
        const groups = oracleGroups(members.length, room.spoil);
        return args.map((_, peer) => groups[members.indexOf(peer)] ?? null);
      }),
    split: (color: number | null, key: number) =>
      call("split", [color, key], (args) => {
        const result: unknown[] = args.map(() => null);
        for (const shade of new Set(args.map(([one]) => one))) {
          if (shade === null) continue;
          const members = [...args.keys()].filter((peer) => args[peer]![0] === shade);
          members.sort((a, b) => args[a]![1] - args[b]![1]);
          oracleGroups(members.length, room.spoil).forEach((one, index) => {
            result[members[index] as number] = one;
          });
        }
        return result;
      }),
  };
  for (const [name, handle] of Object.entries(HANDLERS)) {
    group[name] = (...args: Args) => call(name, args, handle);
  }
  for (const [name, single] of Object.entries(COALESCED)) {
    group[name] = (...args: Args) => {
      const lists = args.filter(Array.isArray) as unknown[][];
      const options = args.find((one) => !Array.isArray(one));
      const one = group[single] as (...args: unknown[]) => Promise<unknown>;
      return Promise.all(lists[0]!.map((_, index) => one(...lists.map((list) => list[index]), options)));
    };
  }
  return group as unknown as ProcessGroup;
}

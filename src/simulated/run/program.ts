/** What the ranks of a simulated group do. */
import type { ProcessGroup } from "../../group/process-group.ts";
import { sleep } from "../../support/clock.ts";
import type { SeededRandom } from "../../support/seeded-random.ts";
import type { DataType, HostArray } from "../../types.ts";

/** What a rank tells of its groups. */
interface Life {
  /** A call of `group` has failed; resolves to whether the group is dead. */
  onFailure(group: ProcessGroup): Promise<boolean>;
  /** `next` follows `before`. */
  onEpoch(next: ProcessGroup, before: ProcessGroup): Promise<void>;
  /** The process of this rank ends, and nothing follows. */
  end(): Promise<never>;
  /** The rank with this number in the world begins to join, if it has not: those that join do so only when they are called. */
  call(rank: number): void;
}

/**
 * What one rank does. `random` gives the same numbers on all ranks. A value that is not what it must be is thrown as a
 * {@link WrongValueError}; `tell` notes bytes that must be equal on all ranks that tell them under one name.
 */
export type Program = (
  group: ProcessGroup,
  rank: number,
  random: SeededRandom,
  tell: Tell,
  life: Life,
) => Promise<void>;

type Tell = (name: string, bytes: ArrayBufferView) => void;

/** A call gave another value than it must. */
export class WrongValueError extends Error {
  override readonly name = "WrongValueError";
}

type Maker = new (length: number) => HostArray;

const ARRAYS: readonly (readonly [DataType, Maker])[] = [
  ["f32", Float32Array],
  ["i32", Int32Array],
  ["f64", Float64Array],
];

const COUNTS = [0, 1, 2, 7, 64, 64, 300, 300, 1_000, 1_000, 4_000, 30_000];

/** Elements repeat after so many. */
const PERIOD = 13;

/** The whole number that `rank` gives as element `index` of call `call`. */
const element = (rank: number, index: number, call: number) => ((rank + 1) * ((index % PERIOD) + 1) + call) % 1_000;

function filled(array: HostArray, valueAt: (index: number) => number): HostArray {
  for (let index = 0; index < array.length; index++) array[index] = valueAt(index);
  return array;
}

function check(name: string, actual: ArrayLike<number | bigint>, expected: (index: number) => number): void {
  for (let index = 0; index < actual.length; index++) {
    if (actual[index] === expected(index)) continue;
    throw new WrongValueError(`${name}: element ${index} is ${actual[index]}, and ${expected(index)} is right`);
  }
}

/** One call on one rank. */
interface Step {
  readonly group: ProcessGroup;
  readonly rank: number;
  readonly size: number;
  readonly random: SeededRandom;
  readonly call: number;
  readonly tell: Tell;
}

const allRanks = (size: number) => Array.from({ length: size }, (_, rank) => rank);

/** The sum of the elements that `ranks` give, by index. They repeat. */
function sums(ranks: readonly number[], call: number): (index: number) => number {
  const period = Array.from({ length: PERIOD }, (_, index) =>
    ranks.reduce((sum, rank) => sum + element(rank, index, call), 0),
  );
  return (index) => period[index % PERIOD]!;
}

const STEPS: Readonly<Record<string, (step: Step) => Promise<void>>> = {
  allReduce: async ({ group, rank, size, random, call, tell }) => {
    const [, Make] = random.pick(ARRAYS);
    const tensor = filled(new Make(random.pick(COUNTS)), (index) => element(rank, index, call));
    await group.allReduce(tensor);
    check("allReduce", tensor as ArrayLike<number>, sums(allRanks(size), call));
    tell(`allReduce ${call}`, tensor);
  },
  inexact: async ({ group, rank, random, call, tell }) => {
    const tensor = filled(new Float32Array(random.pick(COUNTS)), (index) => element(rank, index, call) / 7);
    await group.allReduce(tensor);
    tell(`inexact ${call}`, tensor);
  },
  several: async ({ group, rank, size, random, call }) => {
    const count = random.pick(COUNTS);
    const tensors = [0, 1, 2].map((extra) => filled(new Int32Array(count), (i) => element(rank, i, call + extra)));
    const works = tensors.map((tensor) => group.allReduce(tensor));
    const failed = (await Promise.allSettled(works)).find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
    for (const [extra, tensor] of tensors.entries()) {
      check("several", tensor as ArrayLike<number>, sums(allRanks(size), call + extra));
    }
  },
  broadcast: async ({ group, rank, size, random, call }) => {
    const root = random.below(size);
    const tensor = filled(new Float32Array(random.pick(COUNTS)), (index) => element(rank, index, call));
    await group.broadcast(tensor, { root });
    check("broadcast", tensor as ArrayLike<number>, (index) => element(root, index, call));
  },
  allGather: async ({ group, rank, size, random, call, tell }) => {
    const count = random.pick(COUNTS);
    const input = filled(new Int32Array(count), (index) => element(rank, index, call));
    const output = new Int32Array(count * size);
    await group.allGatherIntoTensor(output, input);
    check("allGather", output, (index) => element(Math.floor(index / count), index % count, call));
    tell(`allGather ${call}`, output);
  },
  reduceScatter: async ({ group, rank, size, random, call }) => {
    const count = random.pick(COUNTS);
    const input = filled(new Float32Array(count * size), (index) => element(rank, index, call));
    const output = new Float32Array(count);
    await group.reduceScatterTensor(output, input);
    const right = sums(allRanks(size), call);
    check("reduceScatter", output, (index) => right(rank * count + index));
  },
  ring: async ({ group, rank, size, random, call }) => {
    const output = filled(new Float32Array(random.pick(COUNTS)), (index) => element(rank, index, call));
    const input = new Float32Array(output.length);
    const before = (rank + size - 1) % size;
    const works = [group.send(output, (rank + 1) % size), group.recv(input, before)];
    const failed = (await Promise.allSettled(works)).find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
    check("ring", input, (index) => element(before, index, call));
  },
  objects: async ({ group, rank, size, call }) => {
    const all = await group.allGatherObject({ rank, call });
    const right = all.every((value, index) => value.rank === index && value.call === call);
    if (!right || all.length !== size) throw new WrongValueError(`objects: ${JSON.stringify(all)}`);
  },
  barrier: async ({ group }) => {
    await group.barrier();
  },
};

/** Calls of a part of the ranks, whose failure is no end of the whole group. */
const PARTS: typeof STEPS = {
  part: async ({ group, rank, size, random, call }) => {
    const members = random.shuffle(allRanks(size)).slice(0, 1 + random.below(size));
    const part = await group.newGroup(members);
    if (!part) return;
    const tensor = filled(new Int32Array(17), (index) => element(rank, index, call));
    await part.allReduce(tensor);
    check("part", tensor as ArrayLike<number>, sums(members, call));
    await part.destroy();
  },
};

/** A program of `calls` calls, of kinds and sizes that `random` draws, with pauses between some. */
export function drawnCalls(calls: number): Program {
  return async (group, _rank, random, tell) => {
    for (let call = 0; call < calls; call++) await runDrawn({ ...STEPS, ...PARTS }, group, random, call, tell);
  };
}

/** One call of all ranks. */
export function drawnCall(group: ProcessGroup, random: SeededRandom, call: number, tell: Tell): Promise<void> {
  return runDrawn(STEPS, group, random, call, tell);
}

async function runDrawn(
  steps: typeof STEPS,
  group: ProcessGroup,
  random: SeededRandom,
  call: number,
  tell: Tell,
): Promise<void> {
  const { rank, size } = group;
  const name = random.pick(Object.keys(steps).filter((step) => step !== "ring" || size > 1));
  const pauseMs = random.pick([0, 0, 0, 1, 20, 100]);
  if (pauseMs > 0) await sleep(pauseMs * (1 + (rank % 3)));
  await steps[name]!({ group, rank, size, random, call, tell });
}

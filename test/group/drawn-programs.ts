/**
 * Programs of calls of every kind, drawn from a seed: each call is awaited or not, alike on all ranks, and some rank may be refused it, or
 * sit it out. Every call has values of its own, so that a result tells with which calls it was paired.
 */
import { TimeoutError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { type TestTransport, withGroup } from "../conformance/harness.ts";
import { type Call, COMPOSED, PLAIN, pause, sumOf } from "./drawn-calls.ts";

/** Calls that are neither one plain collective nor a composed call. */
const OTHERS: Record<string, Call> = {
  coalesce: async (group, value) => {
    const tensors = [0, 1, 2].map((i) => Float32Array.of(value + i + group.rank));
    await group.coalesce(() => {
      for (const tensor of tensors) group.allReduce(tensor);
    });
    return [tensors.map(([x]) => x), tensors.map((_, i) => sumOf(group, value + i))];
  },
  "coalesce of several collectives": async (group, value) => {
    const [sum, first, gathered] = [Float32Array.of(value + group.rank), Float32Array.of(value + 7 * group.rank), []];
    const outputs = Array.from({ length: group.size }, () => new Float32Array(1));
    await group.coalesce(() => {
      group.allReduce(sum);
      group.broadcast(first);
      group.allGather(outputs, Float32Array.of(value + group.rank));
    });
    const values = [sum[0], first[0], ...outputs.map(([x]) => x), ...gathered];
    return [values, [sumOf(group, value), value, ...outputs.map((_, rank) => value + rank)]];
  },
  persistent: async (group, value) => {
    const tensor = Float32Array.of(value + group.rank);
    const call = group.persistent.allReduce(tensor);
    await call.start();
    return [tensor[0], sumOf(group, value)];
  },
  "messages round the ring": async (group, value) => {
    const { rank, size } = group;
    const received = new Float32Array(1);
    const before = (rank + size - 1) % size;
    const sent = group.send(Float32Array.of(value + rank), (rank + 1) % size, { tag: value });
    await Promise.all([sent, group.recv(received, before, { tag: value })]);
    return [received[0], value + before];
  },
};

/** What may keep one rank from a call of which the others know nothing. */
export type Hindrance = "none" | "sits out" | "is refused" | "all are refused";

export interface Step {
  readonly name: string;
  readonly call: Call;
  readonly isAwaited: boolean;
  readonly hindrance: Hindrance;
  /** The rank that is hindered. */
  readonly rank: number;
}

const TABLES = [PLAIN, PLAIN, COMPOSED, COMPOSED, OTHERS].map((table) => Object.entries(table));

/** A program of `length` steps for `size` ranks. */
function drawnProgram(seed: number, size: number, length: number, hindrances: readonly Hindrance[]): Step[] {
  const random = new SeededRandom(seed, "program");
  // Most programs await none of their calls before the end, some of them many.
  const awaited = random.pick([0, 0, 0, 1, 5]);
  // Alike calls are those that may be taken for each other.
  const tables = random.pick([TABLES, [...TABLES, [["allReduce", PLAIN.allReduce!] as [string, Call]]]]);
  return Array.from({ length }, () => {
    const [name, call] = random.pick(random.pick(tables));
    const drawn = { name, call, isAwaited: random.below(10) < awaited, rank: random.below(size) };
    // A hindered rank makes the call with wrong options, or a signal: one collective in place of one.
    if (random.below(8) > 0) return { ...drawn, hindrance: "none" };
    return { ...drawn, name: "allReduce", call: PLAIN.allReduce!, hindrance: random.pick(hindrances) };
  });
}

/** How a step ended on one rank. */
export interface End {
  given?: unknown;
  expected?: unknown;
  error?: unknown;
}

const endOf = (outcome: PromiseLike<[given: unknown, expected: unknown]>): Promise<End> =>
  Promise.resolve(outcome).then(
    ([given, expected]) => ({ given, expected }),
    (error: unknown) => ({ error }),
  );

async function hindered(group: ProcessGroup, { hindrance }: Step, value: number): Promise<[unknown, unknown]> {
  const tensor = Float32Array.of(value + group.rank);
  if (hindrance === "sits out") await group.allReduce(tensor, { signal: AbortSignal.abort("enough") });
  else await group.allReduce(tensor, { op: "nonsense" as "sum" });
  return ["it was made", "an error"];
}

/** Makes the calls of a program, each after a pause of this rank's own, and gives how they ended. */
async function runProgram(group: ProcessGroup, steps: readonly Step[], seed: number): Promise<End[]> {
  const own = new SeededRandom(seed, `pauses of rank ${group.rank}`);
  // Some ranks are slower than others.
  const most = own.pick([2, 4, 8]);
  const ends: Promise<End>[] = [];
  for (const [i, step] of steps.entries()) {
    await pause(own.below(most));
    const value = 1000 * (i + 1);
    const isHindered = step.hindrance === "all are refused" || (step.hindrance !== "none" && step.rank === group.rank);
    const end = endOf(isHindered ? hindered(group, step, value) : step.call(group, value, own.below(6)));
    ends.push(end);
    if (step.isAwaited) await end;
  }
  return Promise.all(ends);
}

/** What may hinder a rank in a program: without or with calls that one rank alone is refused. */
export const HINDRANCES = {
  "no refusal of one rank": ["sits out", "all are refused"],
  "refusals of one rank": ["is refused", "is refused", "sits out"],
} as const satisfies Record<string, readonly Hindrance[]>;

/** Was the rank told, by a call before this one, that a rank was refused calls? */
function wasTold(steps: readonly Step[], ends: readonly End[], rank: number, index: number): boolean {
  return ends.slice(0, index).some(({ error }, i) => {
    const { hindrance, rank: hinderedRank } = steps[i]!;
    return /refused/.test(String(error)) || (hindrance === "is refused" && hinderedRank === rank);
  });
}

/**
 * Runs the program of a seed, and gives each value that was another call's where the rank was not told of a refusal, which makes it one off;
 * and whether the group could not go on: a rank whose composed call failed earlier than another's made fewer collectives.
 */
export async function faultsOf(
  transport: TestTransport,
  seed: number,
  hindrances: readonly Hindrance[],
): Promise<{ wrong: string[]; hasExpired: boolean }> {
  const size = 2 + (seed % 3);
  const steps = drawnProgram(seed, size, 9, hindrances);
  const ranks = await withGroup(
    transport,
    size,
    async (group) => {
      const ends = await runProgram(group, steps, seed);
      group.abort("that is all");
      return ends;
    },
    { timeoutMs: 2000 },
  );
  const wrong = ranks.flatMap((ends, rank) =>
    ends.flatMap(({ error, given, expected }, i) => {
      if (error !== undefined || JSON.stringify(given) === JSON.stringify(expected)) return [];
      if (wasTold(steps, ends, rank, i)) return [];
      return `rank ${rank} of ${size}, call ${i} (${steps[i]!.name}): ${JSON.stringify(given)} in place of ${JSON.stringify(expected)}`;
    }),
  );
  const hasExpired = ranks.some((ends) => ends.some(({ error }) => error instanceof TimeoutError));
  return { wrong, hasExpired };
}

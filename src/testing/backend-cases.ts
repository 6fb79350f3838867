/**
 * The conformance suite of a backend: every collective by the suite of a process group, and beside it what a backend owes to the
 * group around it: what differs is an error everywhere, what was refused leaves the group whole, who is missing is named, and
 * the end of a group reaches all its ranks.
 */
import { AbortedError, MismatchError, TimeoutError, UnsupportedError } from "../errors.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { DATA_TYPES } from "../types.ts";
import { CASE_COLLECTIVES, conformanceCases } from "./conformance.ts";
import { ConformanceError } from "./stage.ts";

/** One case, of at least two ranks. */
export interface BackendCase {
  /** The case in words. */
  readonly name: string;
  /** Is the group dead afterwards? Then the next case needs another one. */
  readonly ends: boolean;
  /**
   * Runs this rank's part. Every rank of the group calls it for the same cases in the same order.
   * @throws ConformanceError that says what was not as it must be; or the error of a collective.
   */
  run(group: ProcessGroup): Promise<void>;
}

/** For which backend {@link backendCases} makes cases. */
export interface BackendFilter {
  /** Ranks of the group. Default: 2. */
  size?: number;
  /** False for a backend that moves nothing and compares nothing, as FakeBackend: then each call succeeds and every tensor stays as it was. Default: true. */
  moves?: boolean;
  /** Cases of {@link CASE_COLLECTIVES} that need a collective which the backend has not. Default: none. */
  lacks?: readonly string[];
}

/** Every case of the suite. */
export function* backendCases({ size = 2, moves = true, lacks = [] }: BackendFilter = {}): Generator<BackendCase> {
  yield* collectiveCases({ size, moves, lacks });
  for (const name of lacks)
    yield { name: `refuses ${name} by name`, ends: false, run: (group) => refuses(group, name, size) };
  for (const one of moves ? [...WHOLE, ...ENDS] : []) yield one;
  yield ABORTED_HERE;
}

/** All collectives on an integer, and on a float that is emulated, with nothing and with something; then as persistent calls. */
function* collectiveCases({ size, moves, lacks }: Required<BackendFilter>): Generator<BackendCase> {
  // Without data nobody knows who sends next.
  const collectives = CASE_COLLECTIVES.filter((name) => !lacks.includes(name) && (moves || name !== "recvAnySource"));
  const dtypes = DATA_TYPES.filter((dtype) => ["u8", "i32", "bf16"].includes(dtype));
  for (const persistent of [false, true]) {
    const filter = {
      collectives,
      dtypes,
      ops: ["sum", "avg", "max"],
      counts: [0, 5],
      size,
      persistent,
      moves,
    } as const;
    for (const one of conformanceCases(filter)) {
      yield { name: one.name, ends: false, run: (group) => one.run(group).then(() => undefined) };
    }
  }
}

/** Any case of `collective` must be refused by every rank, which names it. */
async function refuses(group: ProcessGroup, collective: string, size: number): Promise<void> {
  const [one] = conformanceCases({ collectives: [collective], ops: ["sum"], counts: [1], size });
  if (!one) throw new RangeError(`no such case: ${collective}`);
  const error = await errorOf(one.run(group));
  holds(error instanceof UnsupportedError, group, `${collective} must be an UnsupportedError, and is ${String(error)}`);
  const says = (error as UnsupportedError).message;
  holds(says.startsWith("Backend "), group, `the error must be that of unsupported(), and says ${says}`);
  await group.waitForPendingWorks();
}

/** Cases after which the group is whole. */
const WHOLE: readonly BackendCase[] = [
  whole("calls that differ reject on every rank", async (group) => {
    const tensor = Int32Array.of(1);
    const work = group.rank === 0 ? group.broadcast(tensor) : group.allReduce(tensor);
    await rejects(group, work, MismatchError);
  }),
  whole("a call with wrong arguments has not happened, and the next call tells it", async (group) => {
    if (group.rank === 0) await rejects(group, group.allReduce(Float32Array.of(1), { op: "band" }), TypeError);
    await rejects(group, group.allReduce(Int32Array.of(1)), MismatchError);
  }),
  whole("a rank that sits a call out is told to the others", async (group) => {
    const signal = group.rank === 0 ? AbortSignal.abort("not now") : undefined;
    const work = group.allReduce(Float32Array.of(1), signal ? { signal } : {});
    await rejects(group, work, signal ? AbortedError : MismatchError);
  }),
  whole("receives that no message has met are withdrawn", async (group) => {
    const { rank, size } = group;
    const abort = new AbortController();
    const { signal } = abort;
    const works = [
      group.recv(new Uint8Array(1), (rank + 1) % size, { signal, tag: 7 }),
      group.recvAnySource(new Uint8Array(1), { signal, tag: 8 }),
    ];
    abort.abort("withdrawn");
    for (const work of works) await rejects(group, work, AbortedError);
  }),
  whole("messages both ways at once do not wait for each other", async (group) => {
    const { rank, size } = group;
    const [next, previous] = [(rank + 1) % size, (rank + size - 1) % size];
    const [sent, received] = [new Float64Array(70_000).fill(rank), new Float64Array(70_000)];
    await group.coalesce(() => {
      group.send(sent, next, { tag: 9 });
      group.recv(received, previous, { tag: 9 });
    });
    holds(received[0] === previous && received[69_999] === previous, group, `received ${received[0]}`);
  }),
  whole("many calls may be under way, and end in any order", async (group) => {
    const { size, rank } = group;
    const tensors = Array.from({ length: 20 }, (_, call) => Int32Array.of(call * rank));
    const works = tensors.map((tensor) => group.allReduce(tensor));
    await Promise.all(works.reverse());
    const factor = (size * (size - 1)) / 2;
    holds(
      tensors.every(([sum], call) => sum === call * factor),
      group,
      `sums ${tensors.join()}`,
    );
  }),
];

/** Cases after which it is dead. */
const ENDS: readonly BackendCase[] = [
  ends("a rank that is missing is named on every rank", async (group) => {
    const { rank, size } = group;
    const last = size - 1;
    // The last rank never calls barrier. Its receive, which nobody answers, ends with the group.
    const work =
      rank === last
        ? group.recv(new Uint8Array(1), 0)
        : group.broadcast(Int8Array.of(1), { root: last, ...(rank === 0 && { timeoutMs: 200 }) });
    const error = await rejects(group, work, TimeoutError);
    const { missingRanks } = error as TimeoutError;
    holds(missingRanks.join() === String(last), group, `missing ranks ${missingRanks.join()}`);
    await rejects(group, group.barrier(), TimeoutError);
  }),
  ends("an abort reaches every rank", async (group) => {
    if (group.rank === 0) group.abort("that is enough");
    const work = group.barrier();
    const error = await rejects(group, work, AbortedError);
    holds(String(error).includes("that is enough"), group, `the reason is missing: ${String(error)}`);
    await rejects(group, group.allReduce(Int32Array.of(1)), AbortedError);
  }),
];

/** Of every backend: the group that its own rank aborts takes no more calls. */
const ABORTED_HERE: BackendCase = ends(
  "a rank that aborts its group gets the reason from every later call",
  async (group) => {
    group.abort("done");
    for (const call of [
      () => group.barrier(),
      () => group.allReduce(Int32Array.of(1)),
      () => group.send(Int8Array.of(1), (group.rank + 1) % group.size),
    ]) {
      const error = await rejects(group, call(), AbortedError);
      holds(String(error).includes("done"), group, `the reason is missing: ${String(error)}`);
    }
  },
);

/** A case that a call of all ranks follows, which must succeed. */
function whole(name: string, body: BackendCase["run"]): BackendCase {
  const run = async (group: ProcessGroup) => {
    await body(group);
    const sum = Int32Array.of(group.rank + 1);
    await group.allReduce(sum);
    const expected = (group.size * (group.size + 1)) / 2;
    holds(sum[0] === expected, group, `afterwards a sum is ${sum[0]} in place of ${expected}`);
  };
  return { name, ends: false, run: placed(name, run) };
}

function ends(name: string, body: BackendCase["run"]): BackendCase {
  return { name, ends: true, run: placed(name, body) };
}

/** `body`, whose ConformanceErrors begin with the case. */
function placed(name: string, body: BackendCase["run"]): BackendCase["run"] {
  return (group) =>
    body(group).catch((error) => {
      throw error instanceof ConformanceError ? new ConformanceError(`${name}: ${error.message}`) : error;
    });
}

/** The error with which `work` must reject. */
async function rejects(
  group: ProcessGroup,
  work: PromiseLike<unknown>,
  wanted: new (...args: never[]) => Error,
): Promise<unknown> {
  const error = await errorOf(work);
  holds(
    error instanceof wanted,
    group,
    `must reject with ${wanted.name}, and ${error ? `rejects with ${String(error)}` : "does not"}`,
  );
  return error;
}

function errorOf(work: PromiseLike<unknown>): PromiseLike<unknown> {
  return work.then(
    () => null,
    (error: unknown) => error,
  );
}

function holds(condition: boolean, { rank, size }: ProcessGroup, text: string): void {
  if (!condition) throw new ConformanceError(`rank ${rank} of ${size}: ${text}`);
}

/**
 * One rank as a thread, with its place in the env:// variables of its own. Does what its first argument says, and posts
 * what came of it.
 */
import { parentPort } from "node:worker_threads";
import { MismatchError, PeerLostError, WebcclError } from "../../../src/errors.ts";
import type { ProcessGroup } from "../../../src/group/process-group.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { SeededRandom } from "../../../src/support/seeded-random.ts";
import { type CaseOp, conformanceCases } from "../../../src/testing/index.ts";
import { runCases } from "../../conformance/run-cases.ts";
import { giveListsAgain } from "../../group/repeated-lists.ts";

const failureOf = (call: PromiseLike<unknown>) =>
  Promise.resolve(call).then(
    () => null,
    (error: unknown) => error as Error,
  );

const told = (error: Error | null) => ({
  name: error?.name ?? "none",
  message: error instanceof MismatchError || error instanceof PeerLostError ? error.message : String(error),
  tensors: error instanceof WebcclError ? error.tensors : null,
});

const SCENES: Readonly<Record<string, (group: ProcessGroup) => Promise<unknown>>> = {
  /** Every collective, dtype and operation. */
  cases: (group) =>
    runCases(
      group,
      conformanceCases({
        size: group.size,
        seed: 9,
        dtypes: ["f32", "u8"],
        ops: ["sum"] as CaseOp[],
        counts: [0, 17, 5_000],
      }),
    ),
  operations: (group) =>
    runCases(
      group,
      conformanceCases({
        size: group.size,
        seed: 5,
        dtypes: ["f16", "f32"],
        ops: ["avg", "premul-sum", "custom-ordered"] as CaseOp[],
        counts: [5, 5_000],
      }),
    ),
  /** Every collective that may be a persistent call, started twice. */
  persistent: (group) =>
    runCases(
      group,
      conformanceCases({
        ...{ size: group.size, seed: 6, persistent: true },
        dtypes: ["f32", "u8"],
        ops: ["sum", "custom-ordered"] as CaseOp[],
        counts: [0, 17, 5_000],
      }),
    ),
  /** Tensors in shared memory, which are reduced in place, at sizes around the slots' and the pieces'. */
  allocated: async (group) => {
    const wrong: string[] = [];
    const counts = [1, 15, 16, 17, 255, 256, 257, 2047, 2048, 2049, 4097, 70_001, 1_300_001];
    for (const count of counts) {
      for (const algorithm of [undefined, "slots", "last", "one-pass", "ring"]) {
        const tensor = group.alloc("f32", count);
        tensor.forEach((_, i) => {
          tensor[i] = (i % 97) + group.rank;
        });
        await group.allReduce(tensor, algorithm === undefined ? {} : { algorithm });
        const offset = (group.size * (group.size - 1)) / 2;
        if (tensor.some((value, i) => value !== (i % 97) * group.size + offset)) wrong.push(`${algorithm} ${count}`);
      }
    }
    const gathered = group.alloc("i32", 1000 * group.size);
    const works = [1, 2, 3].map(() => group.allReduce(group.alloc("f32", 5000)));
    await group.allGatherIntoTensor(gathered, new Int32Array(1000).fill(group.rank));
    await Promise.all(works);
    if (gathered.some((value, i) => value !== Math.floor(i / 1000))) wrong.push("all-gather among others");
    return { wrong, links: group.info().ranks.map(({ link }) => link) };
  },
  /** Lists of tensors that are given again and again, and change in between. */
  lists: async (group) => {
    const wrong: string[] = [];
    for (let seed = 0; seed < 20; seed++) wrong.push(...(await giveListsAgain(group, seed, 40)));
    return { wrong };
  },
  /** Ranks that pause at random before each call, in a loop or in their event loop, so that any may come last, soon or late. */
  pauses: async (group) => {
    const [shared, own] = [new SeededRandom(11, "calls"), new SeededRandom(11, "pauses", group.rank)];
    const tensor = group.alloc("f64", 300);
    let wrong = 0;
    for (let call = 0; call < 1_500; call++) {
      const pause = own.u32() % 100;
      if (pause < 2) await new Promise((resolve) => setTimeout(resolve, 2));
      else if (pause < 12) for (const end = performance.now() + pause / 30; performance.now() < end; );
      const algorithm = ["slots", "last", "one-pass"][shared.u32() % 4];
      tensor.fill(call + group.rank);
      if (algorithm) await group.allReduce(tensor, { algorithm });
      else await group.barrier();
      const sum = group.size * call + (group.size * (group.size - 1)) / 2;
      if (tensor.some((value) => value !== (algorithm ? sum : call + group.rank))) wrong++;
    }
    return { wrong };
  },
  /** Calls that differ: the group goes on. */
  mismatch: async (group) => {
    const tensor = group.alloc("f32", 100_000);
    tensor.fill(1);
    const first = await failureOf(group.rank === 1 ? group.broadcast(tensor) : group.allReduce(tensor));
    const second = await failureOf(group.allReduce(new Float32Array(group.rank === 1 ? 7000 : 6000)));
    const third = await failureOf(group.rank === 0 ? group.gatherObject(1) : group.barrier());
    const untouched = tensor.every((value) => value === 1);
    await group.allReduce(tensor);
    return { errors: [first, second, third].map(told), untouched, after: tensor[99_999] };
  },
  /** Drawn calls, in which one rank makes another one, and some that are right between them. */
  mismatches: async (group) => {
    const tensor = group.alloc("f32", 100_000);
    const small = (count: number) => new Float32Array(count);
    const kinds: (() => PromiseLike<unknown>)[] = [
      () => group.allReduce(small(6000)),
      () => group.allReduce(tensor),
      () => group.allReduce(small(10), { algorithm: "last" }),
      () => group.allReduce(small(10), { algorithm: "slots" }),
      () => group.allReduce(small(50_000), { algorithm: "one-pass" }),
      () => group.reduce(small(9), { root: 1 }),
      () => group.broadcast(tensor),
      () => group.barrier(),
      () => group.gatherObject(1),
      () => group.allGatherObject(2),
    ];
    const shared = new SeededRandom(35, "calls that differ");
    const wrong: string[] = [];
    for (let round = 0; round < 400; round++) {
      const [kind, odd] = [shared.u32() % kinds.length, shared.u32() % group.size];
      const other = (kind + 1 + (shared.u32() % (kinds.length - 1))) % kinds.length;
      const error = await failureOf(kinds[group.rank === odd ? other : kind]!());
      if (told(error).name !== "MismatchError") wrong.push(`round ${round}, ${kind} and ${other}: ${error}`);
      if (shared.u32() % 2 === 0) continue;
      const sum = Float64Array.of(round);
      await group.allReduce(sum);
      if (sum[0] !== round * group.size) wrong.push(`round ${round}, after ${kind} and ${other}: ${sum[0]}`);
    }
    return { wrong };
  },
  /** The last rank ends in the middle of its work; the others wait for it. */
  lost: async (group) => {
    const tensor = group.alloc("f32", 50_000);
    for (let i = 0; i < 100; i++) await group.allReduce(tensor);
    if (group.rank === group.size - 1) process.exit(0);
    const start = performance.now();
    let error: Error | null = null;
    while (!error) error = await failureOf(group.allReduce(tensor));
    return { ...told(error), waitedMs: performance.now() - start };
  },
  /** Groups of one name, of ranks that have no other group in common. */
  namesakes: async (group) => {
    const half = (await group.split(group.rank % 2))!;
    const child = (await half.newGroup([0, 1], { name: "x" }))!;
    const wrong: string[] = [];
    for (let round = 0; round < 200; round++) {
      const tensor = new Float64Array(1000).fill(group.rank + 1);
      await child.allReduce(tensor);
      if (tensor.some((value) => value !== (group.rank % 2 ? 6 : 4))) wrong.push(`round ${round}: ${tensor[0]}`);
    }
    return { wrong };
  },
  /** Groups of some of the ranks, side by side; made and given up again and again. */
  groups: async (group) => {
    const wrong: string[] = [];
    for (let round = 0; round < 30; round++) {
      const half = await group.split(group.rank % 2, -group.rank);
      const [all, some] = [new Float32Array(20_000).fill(1), Float32Array.of(1)];
      await Promise.all([half!.allReduce(some), group.allReduce(all), half!.barrier()]);
      if (all[19_999] !== group.size || some[0] !== half!.size) wrong.push(`round ${round}`);
      await half!.destroy();
    }
    return { wrong };
  },
};

const group = await initProcessGroup({ timeoutMs: 25_000 });
const result = await SCENES[process.argv[2]!]!(group);
await group.destroy();
parentPort!.postMessage(result);

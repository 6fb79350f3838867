/** The module of a rank that `spawnRanks` started: does what `?scene` in its address says, and posts what came of it. */
import { initProcessGroup } from "../../../src/browser/index.ts";
import type { ProcessGroup } from "../../../src/group/process-group.ts";
import { type CaseOp, conformanceCases } from "../../../src/testing/index.ts";
import { runCases } from "../../conformance/run-cases.ts";

const COUNT = 50_000;

const SCENES: Readonly<Record<string, (group: ProcessGroup) => Promise<unknown>>> = {
  /** Every collective. */
  cases: (group) =>
    runCases(
      group,
      conformanceCases({
        ...{
          size: group.size,
          seed: 11,
          dtypes: ["f32", "u8"],
          ops: ["sum", "avg"] as CaseOp[],
          counts: [0, 17, 5_000],
        },
      }),
    ),
  /** Tensors in shared memory, objects, and who is joined how. */
  sum: async (group) => {
    const tensor = group.alloc("f32", COUNT);
    tensor.fill(group.rank + 1);
    await group.allReduce(tensor);
    const names = await group.allGatherObject(`rank ${group.rank}`);
    const links = group.info().ranks.map(({ link }) => link);
    return { last: tensor.at(-1), names, links, isShared: !(tensor.buffer instanceof ArrayBuffer) };
  },
  /** Works until something ends it. */
  forever: async (group) => {
    const tensor = group.alloc("f32", COUNT);
    for (;;) await group.allReduce(tensor);
  },
  /** Rank 1 throws in the middle of the others' work. */
  throws: async (group) => {
    const tensor = group.alloc("f32", COUNT);
    for (let i = 0; i < 100; i++) await group.allReduce(tensor);
    if (group.rank === 1) throw new RangeError("this rank has had enough");
    for (;;) await group.allReduce(tensor);
  },
  /** Rank 1 throws where nobody waits for it. */
  throwsLater: async (group) => {
    const tensor = group.alloc("f32", COUNT);
    await group.allReduce(tensor);
    if (group.rank === 1) {
      setTimeout(() => {
        throw new Error("thrown in a timer");
      });
    }
    for (;;) await group.allReduce(tensor);
  },
  /** Rank 1 closes its own worker. */
  closes: async (group) => {
    const tensor = group.alloc("f32", COUNT);
    await group.allReduce(tensor);
    if (group.rank === 1) close();
    for (;;) await group.allReduce(tensor);
  },
};

const scene = new URL(import.meta.url).searchParams.get("scene")!;
const { RANK } = (globalThis as unknown as { webcclEnvironment: Record<string, string> }).webcclEnvironment;
if (scene === "throwsFirst" && RANK === "1") throw new Error("this rank never came");
const options = { backend: "cpu", timeoutMs: 20_000 } as const;
// Ranks can meet again and again.
const before = await initProcessGroup(options);
await before.barrier();
await before.destroy();

const group = await initProcessGroup(options);
const result = await SCENES[scene]!(group);
await group.destroy();
postMessage(result);

/** Calls that PyTorch makes as well, its answers, and the comparison of webccl's results with them. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { pytorchPython } from "../../scripts/pytorch.ts";
import { withMemoryGroups } from "../conformance/harness.ts";
import { type Case, callOf, caseOf, inputForm, type Lists, listOf, outputForm, shapesOf } from "../nn/cases.ts";

/** By rank, and null where PyTorch gives nothing that is right. */
interface Answer {
  y: (number[][] | null)[];
  gx: (number[][] | null)[];
}

export interface Vectors {
  /** PyTorch's version. */
  torch: string;
  cases: Case[];
  answers: Answer[];
}

const EQUAL_COUNTS = ["gather", "allGather", "allToAll", "reduceScatter"];
const KINDS = [
  ...["allReduce", "reduce", "reduceScatter"].flatMap((collective) =>
    (["sum", "min", "max", "product"] as const).map((op) => [collective, op] as const),
  ),
  ...["broadcast", "gather", "scatter", "allGather", "allToAll", "allToAllSingle"].map(
    (collective) => [collective, "sum"] as const,
  ),
];

/** `runs` cases of each kind on 2 and on 3 ranks. PyTorch's lists have tensors of one count, and none is empty. */
export function drawCases(seed: number, runs: number): Case[] {
  return [2, 3].flatMap((size) =>
    KINDS.flatMap(([collective, op], kind) => {
      const fits = (one: Case) => {
        const counts = one.counts.flat();
        const isEven = !EQUAL_COUNTS.includes(collective) || counts.every((count) => count === counts[0]);
        return isEven && shapesOf(one).x.every((list) => list.every((count) => count > 0));
      };
      const cases = EQUAL_COUNTS.includes(collective)
        ? fc.integer({ min: 1, max: 5 }).chain((count) => caseOf(collective, op, size, { min: count, max: count }))
        : caseOf(collective, op, size);
      return fc.sample(cases.filter(fits), { numRuns: runs, seed: seed + kind });
    }),
  );
}

/** PyTorch's answers to `cases`. */
export function askPytorch(cases: Case[]): Vectors {
  const program = fileURLToPath(new URL("nn.py", import.meta.url));
  const { status, stdout } = spawnSync(pytorchPython(), [program], {
    input: JSON.stringify(cases),
    encoding: "utf8",
    // PyTorch calls these functions deprecated, in favour of ones for its compiler.
    env: { ...process.env, PYTHONWARNINGS: "ignore::FutureWarning" },
    stdio: ["pipe", "pipe", "inherit"],
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`nn.py ended with ${status}`);
  return { cases, ...(JSON.parse(stdout) as Omit<Vectors, "cases">) };
}

/** webccl's results that differ from PyTorch's, in words, and how many tensors were compared. */
export async function differences({ cases, answers }: Vectors): Promise<{ wrong: string[]; compared: number }> {
  const wrong: string[] = [];
  let compared = 0;
  const compare = (name: string, form: unknown, expected: number[][] | null | undefined, one: Case) => {
    if (!expected) return;
    compared++;
    const actual = listOf(form).map((tensor) => Array.from(tensor as Float64Array));
    const near = (a: number, b: number | undefined) => Math.abs(a - (b as number)) <= 1e-12 * Math.max(1, Math.abs(a));
    const isSame =
      actual.length === expected.length &&
      actual.every((list, k) => list.length === expected[k]?.length && list.every((v, i) => near(v, expected[k]?.[i])));
    if (!isSame)
      wrong.push(`${name} is ${JSON.stringify(actual)}, PyTorch's ${JSON.stringify(expected)}: ${JSON.stringify(one)}`);
  };
  for (const size of new Set(cases.map((one) => one.size))) {
    await withMemoryGroups(size, async (group) => {
      const own = (lists: Lists) => (lists[group.rank] ?? []).map((values) => Float64Array.from(values));
      for (const [i, one] of cases.entries()) {
        if (one.size !== size) continue;
        const like = new Float64Array(one.counts[0]?.[0] ?? 0);
        const [y, pullback] = await callOf(group, one, inputForm(one.collective, own(one.x)), like);
        const gx = await pullback(outputForm(one.collective, own(one.gy)));
        compare("y", y, answers[i]?.y[group.rank], one);
        compare("gx", gx, answers[i]?.gx[group.rank], one);
      }
    });
  }
  return { wrong, compared };
}

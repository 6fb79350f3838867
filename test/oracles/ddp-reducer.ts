/** Steps that ddp-reducer.py recorded of PyTorch's DistributedDataParallel, and the same steps by a Reducer. */
import { join, Reducer } from "../../src/ddp/index.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { withMemoryGroups } from "../conformance/harness.ts";

type Gradient = readonly number[] | null;

interface RecordedStep {
  /** False within no_sync. */
  sync: boolean;
  /** Each rank's own gradients, by parameter; null for a rank that has joined. */
  given: readonly (readonly Gradient[] | null)[];
  /** What DDP left on all ranks; null within no_sync. */
  averaged: readonly Gradient[] | null;
}

/** What ddp-reducer.py prints. */
export interface RecordedReducer {
  names: readonly string[];
  shapes: readonly (readonly number[])[];
  scenarios: Readonly<Record<string, readonly RecordedStep[]>>;
}

/** Runs a recorded scenario, and gives back how many gradients were compared. @throws Error at the first that differs by more than N ulp. */
export async function compareScenario(
  { names, shapes, scenarios }: RecordedReducer,
  scenario: string,
): Promise<number> {
  const steps = scenarios[scenario] ?? [];
  const size = steps[0]?.given.length ?? 0;
  let compared = 0;
  await withMemoryGroups(size, async (group, rank) => {
    const parameters = shapes.map((shape, i) => ({ tensor: zeros(shape), shape, name: names[i]! }));
    const reducer = new Reducer({ group, parameters, findUnusedParameters: scenario === "unused" });
    /** The gradients of all ranks that this step's average is of. */
    const sums = Array.from({ length: size }, () => names.map((): Float64Array | null => null));
    const run = async () => {
      for (const [number, step] of steps.entries()) {
        if (!step.given[rank]) break;
        gather(sums, step);
        const averaged = await makeStep(reducer, step, rank);
        if (!step.averaged) continue;
        for (const [index, expected] of step.averaged.entries()) {
          const where = `${scenario}, step ${number}, rank ${rank}, ${names[index]}`;
          compareGradient(where, averaged[index] ?? null, expected, sums, index, divisorOf(scenario, step, group));
          compared++;
        }
        for (const own of sums) own.fill(null);
      }
    };
    if (!scenario.startsWith("join")) await run();
    else await join([reducer], run, { divideByInitialWorldSize: scenario === "joinInitial" });
  });
  return compared;
}

const zeros = (shape: readonly number[]) => new Float32Array(shape.reduce((count, length) => count * length, 1));

/** Adds this step's gradients of all ranks to those of the no_sync steps before it. */
function gather(sums: readonly (Float64Array | null)[][], { given }: RecordedStep): void {
  for (const [rank, gradients] of given.entries()) {
    for (const [index, gradient] of (gradients ?? []).entries()) {
      if (!gradient) continue;
      const before = sums[rank]![index];
      sums[rank]![index] = Float64Array.from(gradient, (value, i) => Math.fround(value) + (before?.[i] ?? 0));
    }
  }
}

async function makeStep(
  reducer: Reducer,
  { given, sync }: RecordedStep,
  rank: number,
): Promise<(Float32Array | null)[]> {
  const mark = () => {
    reducer.prepareForBackward();
    for (const [index, gradient] of [...(given[rank] ?? []).entries()].reverse()) {
      if (gradient) reducer.markReady(index, Float32Array.from(gradient));
    }
    return reducer.finalize();
  };
  const averaged = sync ? await mark() : await reducer.noSync(mark);
  return averaged as (Float32Array | null)[];
}

/** By how many the sum is divided. */
function divisorOf(scenario: string, { given }: RecordedStep, { size }: ProcessGroup): number {
  return scenario === "joinActive" ? given.filter((gradients) => gradients).length : size;
}

/** Each rank's share is rounded once and each addition once more, in either library: 2 N half ulp of the sum of magnitudes. */
function compareGradient(
  where: string,
  got: Float32Array | null,
  expected: Gradient,
  sums: readonly (Float64Array | null)[][],
  index: number,
  divisor: number,
): void {
  if (got === null || expected === null) {
    if (got !== expected)
      throw new Error(`${where}: ${got ? "a gradient" : "none"}, and PyTorch has ${expected ? "one" : "none"}`);
    return;
  }
  for (const [i, value] of expected.entries()) {
    const magnitude = sums.reduce((sum, own) => sum + Math.abs(own[index]?.[i] ?? 0) / divisor, 0);
    const allowed = 2 * sums.length * 2 ** -24 * magnitude;
    const difference = Math.abs(got[i]! - Math.fround(value));
    if (!(difference <= allowed)) throw new Error(`${where}[${i}]: ${got[i]}, and PyTorch has ${value}`);
  }
}

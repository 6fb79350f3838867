/** Injects the faults of one scenario, one after the other, and says whether its promise was kept. */
import { medianOf } from "../../src/cli/bench/report.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { endProcesses } from "./processes.ts";
import type { Extent, Fault, Outcome, Scenario } from "./scenario.ts";

/** What came of a scenario. */
export interface Result {
  readonly id: string;
  readonly title: string;
  readonly injected: number;
  /** Faults after which everything was as promised. */
  readonly survived: number;
  /** Null where no time was measured. */
  readonly medianMs: number | null;
  readonly worstMs: number | null;
  readonly samples: number;
  readonly limitMs: number;
  readonly medianLimitMs: number | null;
  readonly wrong: readonly string[];
  /** How the promise was broken: empty if it was kept. */
  readonly broken: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
  /** What was drawn. */
  readonly faults: readonly string[];
}

/** An injection that has not ended after so long, and the time that the scenario itself takes, hangs. */
const HANG_MS = 90_000;
/** A scenario that goes on for a time waits up to ten seconds for each of its faults, and there may be one every second. */
const LONGEST_MS_PER_MINUTE = 600_000;

/** Of the description of a fault, where a broken promise is told. */
const MOST_CHARACTERS = 120;

/** Settings of one run. */
export interface RunOptions {
  readonly seed: number;
  readonly extent: Extent;
  /** Instead of the scenario's own number. */
  readonly repetitions?: number | undefined;
  readonly onProgress?: (done: number, all: number) => void;
}

/** The faults that a seed gives: the same seed, the same faults. */
export function drawFaults(scenario: Scenario, { seed, extent, repetitions }: RunOptions): Fault[] {
  const random = new SeededRandom(seed, scenario.id);
  const count = repetitions ?? scenario.repetitions;
  return Array.from({ length: count }, (_, number) => scenario.draw(random, number, extent));
}

/** See the file's head. */
export async function runScenario(scenario: Scenario, options: RunOptions): Promise<Result> {
  const faults = drawFaults(scenario, options);
  const [times, wrong, broken]: [number[], string[], string[]] = [[], [], []];
  const figures: Record<string, number> = {};
  let survived = 0;
  for (const [number, fault] of faults.entries()) {
    options.onProgress?.(number, faults.length);
    const outcome = await outcomeOf(fault, options.extent.minutes * LONGEST_MS_PER_MINUTE + HANG_MS);
    await endProcesses();
    const late = outcome.times.filter((ms) => ms > scenario.limitMs);
    const faulty = [...outcome.broken, ...late.map((ms) => `${Math.round(ms)} ms, more than ${scenario.limitMs}`)];
    if (faulty.length + outcome.wrong.length === 0) survived++;
    times.push(...outcome.times);
    const name = fault.what.length > MOST_CHARACTERS ? `${fault.what.slice(0, MOST_CHARACTERS)}…` : fault.what;
    wrong.push(...outcome.wrong.map((text) => `${name}: ${text}`));
    broken.push(...faulty.map((text) => `${name}: ${text}`));
    for (const [name, value] of Object.entries(outcome.figures ?? {})) {
      figures[name] = Math.max(figures[name] ?? value, value);
    }
  }
  const medianMs = times.length > 0 ? medianOf(times) : null;
  const { id, title, limitMs, medianLimitMs = null } = scenario;
  if (medianLimitMs !== null && medianMs !== null && medianMs > medianLimitMs) {
    broken.push(`the median is ${Math.round(medianMs)} ms, more than ${medianLimitMs}`);
  }
  return {
    ...{
      id,
      title,
      injected: faults.length,
      survived,
      medianMs,
      worstMs: times.length > 0 ? Math.max(...times) : null,
    },
    ...{
      samples: times.length,
      limitMs,
      medianLimitMs,
      wrong,
      broken,
      figures,
      faults: faults.map(({ what }) => what),
    },
  };
}

/** Was the promise kept? */
export const isKept = ({ wrong, broken }: Result): boolean => wrong.length + broken.length === 0;

/** What the fault did; one that hangs, or whose processes end otherwise than they should, broke the promise. */
async function outcomeOf(fault: Fault, limitMs: number): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const hang = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it hangs: no end after ${limitMs / 1_000} s`)), limitMs);
  });
  try {
    return await Promise.race([fault.inject(), hang]);
  } catch (error) {
    return { times: [], wrong: [], broken: [error instanceof Error ? error.message : String(error)] };
  } finally {
    clearTimeout(timer);
  }
}

/** Runs schedules one after the other, checks the invariants of each, and shortens those that break one. */
import { setMaxListeners } from "node:events";
import { fileURLToPath } from "node:url";
import { SimulatedExecutors } from "./executors.ts";
import { type Violation, violationsOf } from "./run/invariants.ts";
import type { Program } from "./run/program.ts";
import { type RunResult, runSchedule } from "./run/run-schedule.ts";
import type { Schedule } from "./run/schedule.ts";
import { shorten } from "./run/shorten.ts";
import { warmUp } from "./warm-up.ts";

/** How a schedule is run. */
export interface CheckOptions {
  /** What the ranks do. Default: the calls that the schedule draws. */
  readonly program?: Program;
  /** Keeps a line for each event. Default: false. */
  readonly keepsLines?: boolean;
}

/** See the file's head. */
export class Simulator {
  readonly #executors = new SimulatedExecutors();
  #isWarm: Promise<void> | null = null;

  constructor() {
    // All links of a bring-up listen to its one signal, and Node warns where there are more than ten.
    setMaxListeners(0);
  }

  /** A run of `schedule`, and the invariants that it broke. */
  async check(
    schedule: Schedule,
    options: CheckOptions = {},
  ): Promise<{ result: RunResult; violations: readonly Violation[] }> {
    this.#isWarm ??= warmUp(fileURLToPath(new URL("..", import.meta.url)));
    await this.#isWarm;
    const result = await runSchedule(schedule, this.#executors, options);
    return { result, violations: violationsOf(result) };
  }

  /** The shortest schedule that was found to break the same invariant as `schedule` does. */
  shorten(schedule: Schedule, { invariant }: Violation, options: CheckOptions = {}): Promise<Schedule> {
    return shorten(schedule, async (shorter) => {
      const { violations } = await this.check(shorter, options);
      return violations.some((violation) => violation.invariant === invariant);
    });
  }
}

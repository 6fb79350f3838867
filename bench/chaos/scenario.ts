/** What a promise of docs/reliability.md is to `npm run chaos`: faults drawn from a seed, each injected into real processes. */
import type { SeededRandom } from "../../src/support/seeded-random.ts";

/** What one fault did. */
export interface Outcome {
  /** Milliseconds, one for each rank or call on which the promise has a limit. */
  readonly times: readonly number[];
  /** Values that were neither right nor rejected. */
  readonly wrong: readonly string[];
  /** Every other way in which the promise was broken. */
  readonly broken: readonly string[];
  /** Figures besides the times: of several faults, those of the greatest value are kept. */
  readonly figures?: Readonly<Record<string, number>>;
}

/** A fault that was drawn. */
export interface Fault {
  /** All that was drawn, in words: the same seed gives the same. */
  readonly what: string;
  inject(): Promise<Outcome>;
}

/** How long and how often a run tries. */
export interface Extent {
  /** How long a scenario that goes on for a time does. */
  readonly minutes: number;
}

/** One promise. */
export interface Scenario {
  /** Its number in docs/reliability.md. */
  readonly id: string;
  /** The fault, and what is to follow. */
  readonly title: string;
  /** No time may be above it. */
  readonly limitMs: number;
  /** The median may not be above it either. */
  readonly medianLimitMs?: number;
  /** How many faults are injected. */
  readonly repetitions: number;
  /** The fault with this number, from 0. */
  draw(random: SeededRandom, number: number, extent: Extent): Fault;
}

/** The outcome of ranks that reported each on its own. */
export class Findings {
  readonly times: number[] = [];
  readonly wrong: string[] = [];
  readonly broken: string[] = [];
  readonly figures: Record<string, number> = {};

  /** Notes that a promise is broken, unless `holds`. */
  expect(holds: boolean, broken: string): void {
    if (!holds) this.broken.push(broken);
  }

  /** Keeps the greatest value. */
  atMost(figure: string, value: number): void {
    this.figures[figure] = Math.max(this.figures[figure] ?? value, value);
  }
}

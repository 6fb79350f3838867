/** A process of the simulated world: what runs in it ends, stops and goes on with it. */
import { SeededRandom } from "../support/seeded-random.ts";

/** How a process ended: its system closed its connections, or its machine is off and nothing is heard of it again. */
export type Ending = "exit" | "power";

/** One process, alone on its machine. */
export class SimulatedProcess {
  /** Such as "rank 2" or "hub". */
  readonly name: string;
  /** Its number in the world, from 0. */
  readonly index: number;
  /** The address of its machine. */
  readonly host: string;
  readonly random: SeededRandom;
  /** How it ended, or null. */
  ended: Ending | null = null;
  /** Until then nothing is delivered to it. */
  pausedUntil = 0;
  /** Milliseconds for which it has been paused, all together. */
  pausedMs = 0;
  /** Milliseconds by which its time of day was set anew. */
  wallShiftMs = 0;
  /** Events that were delivered to it. */
  events = 0;

  constructor(seed: number, name: string, index: number) {
    this.name = name;
    this.index = index;
    this.host = `10.0.${index >> 8}.${index & 255}`;
    this.random = new SeededRandom(seed, "process", name);
  }
}

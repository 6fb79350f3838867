/** Pace: in a row of short pieces of work the event loop turns about once a millisecond. */
import { now } from "./clock.ts";

/** The longest that a row of short pieces keeps the event loop from turning, in milliseconds. */
const TURN_MS = 1;

/** The pace of one group's work. */
export class Pace {
  readonly #turn: () => Promise<void>;
  #lastTurn = 0;

  /** `turn` resolves when the event loop has turned. */
  constructor(turn: () => Promise<void>) {
    this.#turn = turn;
  }

  /** Has the event loop not turned for too long at `time`? */
  isDue(time: number): boolean {
    return time - this.#lastTurn > TURN_MS;
  }

  /** Lets it turn. */
  async turn(): Promise<void> {
    await this.#turn();
    this.turned();
  }

  /** It has turned. */
  turned(): void {
    this.#lastTurn = now();
  }
}

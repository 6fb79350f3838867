/** Ballots: what a rank has promised and voted on its way to one epoch. It stays when `shrink` or `admit` fails and is called again. */
import type { Vote } from "./messages.ts";

/** See the file's head. */
export class Ballots {
  /** Its latest vote. */
  accepted: Vote | null = null;
  readonly #leaders = new Set<number>();

  /** The highest leader that this rank has followed, or as which it has had others vote: it takes no proposal of a lower one. */
  get promised(): number {
    return Math.max(-1, ...this.#leaders);
  }

  promise(leader: number): void {
    this.#leaders.add(leader);
  }

  /** The leader has ended the change that it led, and had nobody vote. */
  withdraw(leader: number): void {
    this.#leaders.delete(leader);
  }
}

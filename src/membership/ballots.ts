/** Ballots: what a rank has promised and voted on its way to one epoch. It stays when `shrink` or `admit` fails and is called again. */
import type { Vote } from "./messages.ts";

/** See the file's head. */
export class Ballots {
  /** Its latest vote. */
  accepted: Vote | null = null;
  readonly #members: readonly number[];
  /** Those that this rank has followed, and itself if it has had others vote. */
  readonly #leaders = new Set<number>();

  /** `members` are those of the epoch that ends. Their order is that of the ballots: a rank that joined late may have a low seat. */
  constructor(members: readonly number[]) {
    this.#members = members;
  }

  /** May this rank vote for a proposal of `leader`? It has promised to take none of a leader before one that it has followed. */
  mayTake(leader: number): boolean {
    return [...this.#leaders].every((other) => this.compare(other, leader) <= 0);
  }

  /** Negative if the ballot of `a` is before that of `b`. */
  compare(a: number, b: number): number {
    return this.#members.indexOf(a) - this.#members.indexOf(b);
  }

  promise(leader: number): void {
    this.#leaders.add(leader);
  }

  /** The leader has ended the change that it led, and had nobody vote. */
  withdraw(leader: number): void {
    this.#leaders.delete(leader);
  }
}

/** Ballots: what a rank has promised and voted on its way to one epoch. It stays when `shrink` or `admit` fails and is called again. */
import type { Vote } from "./messages.ts";

/** See the file's head. */
export class Ballots {
  /** The highest leader that this rank has followed, or as which it has had others vote: it takes no proposal of a lower one. */
  promised = -1;
  /** Its latest vote. */
  accepted: Vote | null = null;
}

/**
 * Shared areas: what links between processes of one host offer beyond messages. Every rank of a group has an area in its
 * file, which it alone writes and all read, and the ranks meet at steps. An algorithm that uses it says so in
 * `backend/select.ts`.
 *
 * What a rank puts before a step can be got after it, until whoever gets it makes the next one. So one step a piece is
 * enough: while the others read one piece the next is written.
 *
 * A call's first step is also its agreement: every rank shows its fingerprint and compares everyone's, and only if all
 * are the same does any rank go on. So nothing of the caller's is written before all calls are known to be equal.
 */

/** One group's areas, in the hands of the one collective that runs in them. All ranks make the same steps. */
export interface Areas {
  /** Most bytes that a rank shows at one step. */
  readonly areaBytes: number;
  /** Writes into this rank's area, for the next step. */
  put(bytes: Uint8Array, position: number): void;
  /** Fills `target` from the area of `rank`, as it was put before the last step. */
  get(target: Uint8Array, rank: number, position: number): void;
  /** Resolves, or returns at once, when every rank has made this step. */
  step(): Promise<void> | undefined;
  /** To be called between pieces of long work: lets the event loop turn if it has not for a millisecond. */
  breathe(): Promise<void> | undefined;
}

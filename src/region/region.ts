/**
 * Region: what the ranks of a group have beyond messages. There are two kinds. Ranks that address each other's memory pull: a
 * rank shows where its tensor lies, and whoever needs it reads it there. Ranks that have areas put and get: a rank puts what
 * the others need into its own area, and they copy it out. The algorithms over each are in `algorithm/addressable/` and
 * `algorithm/areas/`.
 *
 * All ranks make the same steps. A call's first step is also its agreement: every rank shows its fingerprint and compares
 * everyone's, and a rank goes on only if all are the same. So nothing of the caller's is written before all calls are known
 * to be equal.
 */
import type { AddressableExecutor, HostExecutor, Span } from "../executor/executor.ts";
import type { Late } from "../support/late.ts";
import type { DataType } from "../types.ts";

/** How the ranks of a region go forward together. */
interface Stepping {
  /** Resolves, or returns at once, when every rank has made this step. What they wrote before it is seen here after it. */
  step(): Late;
  /** To be called between pieces of long work: lets the event loop turn if it has not for a millisecond. */
  breathe(): Late;
}

/** A region whose ranks address each other's memory, in the hands of the one collective that runs in it. */
export interface AddressableMemory extends Stepping {
  readonly kind: "addressable";
  /** Works in the common memory. */
  readonly executor: AddressableExecutor;
  /** Does all of the span lie in the common memory? */
  holds(span: Span): boolean;
  /** Most bytes of a slot. */
  readonly slotBytes: number;
  /** A span at the start of each rank's slot. This rank writes its own before the call's first step and reads the others' after it. */
  slots(dtype: DataType, count: number): readonly Span[];
  /** Shows the others where a span lies, from the next step on until the call's last. `index` is below the group's size. */
  offer(index: number, span: Span): void;
  /**
   * What `rank` offered, or null if that does not lie in the common memory.
   * @throws ProtocolError if the rank offered what is not wholly there.
   */
  offered(rank: number, index: number, dtype: DataType, count: number): Span | null;
  /** Like `step`; one rank runs `once` when all have come, before any goes on. All ranks call it at the same step. */
  stepThrough(once: () => void): Late;
}

/**
 * A region whose ranks have an area each, which its rank writes and all read. What a rank puts before a step can be got
 * after it, until whoever gets it makes the next one. So one step a piece is enough: while the others read one piece the
 * next is written.
 */
export interface Areas extends Stepping {
  readonly kind: "areas";
  /** Every rank's tensors are in this executor's memory. */
  readonly executor: HostExecutor;
  /** Most bytes that a rank shows at one step. */
  readonly areaBytes: number;
  /** Writes into this rank's area, for the next step. */
  put(bytes: Uint8Array, position: number): void;
  /** Fills `target` from the area of `rank`, as it was put before the last step. */
  get(target: Uint8Array, rank: number, position: number): void;
}

/** What a group may have. */
export type Region = AddressableMemory | Areas;

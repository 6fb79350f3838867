/**
 * Shared region: what links between threads offer beyond messages. The ranks of a group address each other's memory, and
 * meet at steps. An algorithm that uses it says so in `backend/select.ts`.
 *
 * A call's first step is also its agreement: every rank shows its fingerprint and compares everyone's, and only if all
 * are the same does any rank go on. So nothing of the caller's is written before all calls are known to be equal.
 */
import type { Span } from "../executor/executor.ts";
import type { DataType } from "../types.ts";

/** One group's region, in the hands of the one collective that runs in it. All ranks make the same steps. */
export interface AddressableMemory {
  /** Most bytes of a slot. */
  readonly slotBytes: number;
  /** A span at the start of each rank's slot. This rank writes its own before the call's first step and reads the others' after it. */
  slots(dtype: DataType, count: number): readonly Span[];
  /** Shows the others where a span lies, from the next step on until the call's last. `index` is below the group's size. */
  offer(index: number, span: Span): void;
  /** What `rank` offered, or null if that does not lie in shared memory. */
  offered(rank: number, index: number, dtype: DataType, count: number): Span | null;
  /** Resolves, or returns at once, when every rank has made this step. What they wrote before it is seen here after it. */
  step(): Promise<void> | undefined;
  /** Like `step`; one rank runs `once` when all have come, before any goes on. All ranks call it at the same step. */
  stepThrough(once: () => void): Promise<void> | undefined;
  /** To be called between pieces of long work: lets the event loop turn if it has not for a millisecond. */
  breathe(): Promise<void> | undefined;
}

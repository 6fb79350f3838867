/** Sat out: a call that this rank does not make, for a reason of the moment, while the other ranks make it and are told why. */
import { fromWireError, MismatchError, toWireError, type WebcclError } from "../../errors.ts";
import type { Collective } from "../../types.ts";
import type { Job } from "../job.ts";
import { OP_TYPES } from "../op-type.ts";
import { told } from "../turns.ts";
import { Work } from "../work.ts";
import { tellingOf } from "./refusals.ts";

/** A call that a rank sits out. */
interface SatOutCall {
  readonly call: { readonly collective: Collective; readonly sequence: number };
  /** What keeps the rank from it. */
  readonly obstacle: Error;
  /** How many calls were refused here before it. */
  readonly refused: number;
  readonly timeoutMs: number;
  /** The group's pending Works, each with what rejects it when the group dies. */
  readonly pending: Map<Work<unknown>, (error: Error) => void>;
  /** Is told of the other ranks' error. */
  onHeard(error: WebcclError): void;
}

/**
 * The call's Work. It rejects when this rank has heard with which error the others' do (`verdict`), at the latest when the group dies or
 * the call's time is over: so the next call of its program comes after what all ranks have heard.
 */
export function workOfSatOut(
  verdict: Promise<WebcclError | undefined>,
  { job, groupName, rank }: { job: Job; groupName: string; rank: number },
  { call, obstacle, refused, timeoutMs, pending, onHeard }: SatOutCall,
): Work<never> {
  const { deadlines, settings } = job;
  const { work, reject } = Work.pending<never>({
    ...{ opType: OP_TYPES[call.collective], sequence: call.sequence, logger: settings.logger },
  });
  const end = (error: Error) => {
    if (!pending.delete(work)) return;
    deadlines.clear(deadline);
    reject(told(error, groupName));
  };
  const deadline = deadlines.set(timeoutMs, () => end(obstacle));
  pending.set(work, () => end(obstacle));
  void verdict.then((heard) => {
    if (heard) onHeard(heard);
    end(heard ? errorOf(obstacle, heard, refused, rank) : obstacle);
  });
  return work;
}

/**
 * If the others' error is a difference between calls it is this rank's as well: all ranks may hear by it of a refused call. Not where
 * another rank sits the call out behind as many refused ones.
 */
function errorOf(obstacle: Error, verdict: WebcclError, refused: number, rank: number): Error {
  const { field, rank: sitter } = verdict.details;
  if (!(verdict instanceof MismatchError) || field === undefined || sitter === rank) return obstacle;
  if (sitter !== undefined && refused > 0 && verdict.message.endsWith(tellingOf(refused))) return obstacle;
  return fromWireError(toWireError(verdict), { rank, tensors: "untouched", cause: obstacle });
}

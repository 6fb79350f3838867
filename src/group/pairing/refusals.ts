/** Refusals: what ranks hear of calls that one of them was refused or sat out, so that no later two are one off unheard. */
import { MismatchError } from "../../errors.ts";
import { asError } from "../../support/thrown.ts";
import { REFUSED_LABEL } from "../../wire/frame.ts";
import { abortedError } from "../call-errors.ts";
import type { CallName } from "../claims.ts";
import type { Job } from "../job.ts";
import type { PreparedCall } from "../prepared-call.ts";

/** What keeps this rank from a call that the others may well make, or null: it depends on the moment. */
export function obstacleTo(
  { read = [], written = [] }: PreparedCall<unknown>,
  call: CallName,
  signal: AbortSignal | undefined,
  { job, groupName }: { job: Job; groupName: string },
): Error | null {
  if (signal?.aborted) return abortedError(groupName, call, "was aborted before it began", signal.reason);
  try {
    job.claims.check(call, read, written);
    return null;
  } catch (error) {
    return asError(error);
  }
}

/** Why this rank sits a call out, as the others hear it: with the calls that were refused here before, which no other call tells them. */
export function afterRefused(obstacle: Error, refused: number): Error {
  if (refused === 0) return obstacle;
  return new MismatchError(`${obstacle.message}${tellingOf(refused)}`, {
    field: REFUSED_LABEL,
    cause: obstacle,
  });
}

/** Have all ranks heard by this error that one was refused calls? */
export function tellsOfRefused(error: Error): boolean {
  return error instanceof MismatchError && error.details.field === REFUSED_LABEL;
}

/**
 * Of so many calls that were refused here before the one that ends with `error`, those of which the other ranks have not heard: the
 * next call tells them. A mismatch may be of two other ranks.
 */
export function untold(error: Error, refused: number): number {
  return error instanceof MismatchError && !tellsOfRefused(error) ? refused : 0;
}

/** How a reason ends that tells of so many refused calls. */
export function tellingOf(refused: number): string {
  return refused === 0 ? "" : ` (calls refused before: ${refused})`;
}

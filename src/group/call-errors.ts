/** Errors of one call, as its caller gets them. */
import {
  AbortedError,
  fromWireError,
  IntegrityError,
  MismatchError,
  TimeoutError,
  toWireError,
  UnsupportedError,
  WebcclError,
} from "../errors.ts";
import { textOf } from "../support/thrown.ts";
import type { CallName } from "./claims.ts";

/** The error of a call that was aborted for `reason`. */
export function abortedError(
  group: string,
  { collective, sequence }: CallName,
  outcome: string,
  reason: unknown,
): AbortedError {
  return new AbortedError(`group "${group}": ${collective} ${sequence} ${outcome}: ${textOf(reason)}`, {
    ...{ group, collective, sequence, cause: reason },
  });
}

/** The error as one call tells it: with the rank, the call, and what became of the tensors. */
export function placedError(
  error: Error,
  rank: number,
  { collective, sequence }: CallName,
  overwritten: boolean,
): Error {
  if (!(error instanceof WebcclError) || error instanceof UnsupportedError) return error;
  const wire = toWireError(error);
  if (!(error instanceof MismatchError)) wire.message = `rank ${rank}, ${collective} ${sequence}: ${error.message}`;
  return fromWireError(wire, {
    // That of an IntegrityError is one end of the link.
    ...(error instanceof IntegrityError ? {} : { rank }),
    ...{ collective, sequence, tensors: overwritten ? "overwritten" : "untouched", cause: error },
  });
}

/** The error of a call that did not end in time; `missing` are the ranks that had not come to it, as far as known. */
export function timeoutError(
  group: string,
  { collective, sequence }: CallName,
  timeoutMs: number,
  missing: number[],
): TimeoutError {
  return new TimeoutError(
    `group "${group}": ${collective} ${sequence} did not end within ${timeoutMs} ms; ` +
      (missing.length > 0 ? `missing: rank ${missing.join(", rank ")}` : "which rank is missing could not be told"),
    { group, collective, sequence, missingRanks: missing },
  );
}

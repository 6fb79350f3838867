/** Errors of one call, as its caller gets them. */
import {
  AbortedError,
  fromWireError,
  IntegrityError,
  MismatchError,
  toWireError,
  UnsupportedError,
  WebcclError,
} from "../errors.ts";
import { textOf } from "../support/thrown.ts";
import { FINGERPRINT_LABELS } from "../wire/frame.ts";
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

/** Why this rank sits a call out, as the others hear it: with the calls that were refused here before, which no other call tells them. */
export function afterRefused(obstacle: Error, refused: number): Error {
  if (refused === 0) return obstacle;
  return new Error(`${obstacle.message} (calls refused before: ${refused})`);
}

/**
 * Of so many calls that were refused here before the one that ends with `error`, those of which the other ranks have not heard: the
 * next call tells them. A mismatch may be of two other ranks.
 */
export function untold(error: Error, refused: number): number {
  return error instanceof MismatchError && error.details.field !== FINGERPRINT_LABELS.refused ? refused : 0;
}

/** Errors as the call that they end tells them. */
import { fromWireError, IntegrityError, MismatchError, toWireError, UnsupportedError, WebcclError } from "../errors.ts";
import type { Collective } from "../types.ts";

/** The error with the rank, the call, and what became of the tensors. A caller's mistake says all that itself. */
export function placedError(
  error: Error,
  { rank, collective, sequence }: { rank: number; collective: Collective; sequence: number },
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

/** The errors of a group whose ranks make different calls. */
import { type ErrorDetails, MismatchError } from "../errors.ts";
import { collectiveName, describeCall } from "../wire/fingerprint.ts";
import type { Fingerprint } from "../wire/frame.ts";

/** Two ranks of `group` made these calls of one number, which differ in `field`. */
export function callsDiffer(
  group: string,
  sequence: number,
  field: string,
  ranks: readonly [number, number],
  calls: readonly [Fingerprint, Fingerprint],
): MismatchError {
  return new MismatchError(
    `group "${group}", call ${sequence}: ${field} differs: ` +
      `rank ${ranks[0]} called ${describeCall(calls[0])}, rank ${ranks[1]} called ${describeCall(calls[1])}`,
    mismatchDetails(group, sequence, calls[0], field),
  );
}

export function mismatchDetails(group: string, sequence: number, call: Fingerprint, field: string): ErrorDetails {
  return { group, sequence, collective: collectiveName(call), field };
}

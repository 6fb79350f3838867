/** The errors of a group whose ranks make different calls. Loaded when the first do. */
import { type ErrorDetails, MismatchError } from "../errors.ts";
import type { Collective } from "../types.ts";
import { collectiveName, describeCall, differingField } from "../wire/call-words.ts";
import { type Fingerprint, REFUSED_LABEL } from "../wire/frame.ts";

/** The error is made where the calls meet, not where the program made them: only a rank that keeps its stacks knows that line (DebugBackend). */
const WHERE = " (WEBCCL_DEBUG=DETAIL, or setDebugLevel, adds the line of each rank's call)";

/** Two ranks of `group` made these calls of one number, which differ. */
export function callsDiffer(
  group: string,
  sequence: number,
  ranks: readonly [number, number],
  calls: readonly [Fingerprint, Fingerprint],
): MismatchError {
  const field = differingField(...calls) ?? "call";
  const isOneNumber = calls[0].ahead === calls[1].ahead;
  const [one, other] = calls.map((call, i) => {
    const number = isOneNumber ? "" : ` as number ${sequence + call.ahead} of its program`;
    return `rank ${ranks[i]} called ${describeCall(call)}${number}`;
  });
  return new MismatchError(
    `group "${group}", call ${sequence}: ${field} differs: ${one}, ${other}${WHERE}`,
    mismatchDetails(group, sequence, calls[0], field),
  );
}

/**
 * `rank` does not make a call that the others may make. A reason that tells of calls which it was refused before makes it an error of these,
 * too.
 */
export function doesNotTakePart(
  group: string,
  sequence: number,
  collective: Collective,
  rank: number,
  reason: Error,
): MismatchError {
  const { field } = reason instanceof MismatchError ? reason.details : {};
  const isOfRefused = field === REFUSED_LABEL;
  return new MismatchError(
    `group "${group}", ${collective}, call ${sequence}: rank ${rank} does not take part: ${reason.message}`,
    { group, sequence, collective, rank, ...(isOfRefused && { field }) },
  );
}

/** `rank` cannot make the call that it has begun. */
export function cannotTakePart(
  group: string,
  sequence: number,
  call: Fingerprint,
  rank: number,
  reason: string,
): MismatchError {
  return new MismatchError(
    `group "${group}", ${describeCall(call)}, call ${sequence}: rank ${rank} cannot take part: ${reason}`,
    mismatchDetails(group, sequence, call, "tensor"),
  );
}

/** A message of the call has another length than its receiver expects. Ranks are those of the sender and the receiver. */
export function lengthsDiffer(
  group: string,
  sequence: number,
  call: Fingerprint,
  [sender, receiver]: readonly [number, number],
  [sent, expected]: readonly [number, number],
): MismatchError {
  return new MismatchError(
    `group "${group}", ${describeCall(call)}, call ${sequence}: rank ${sender} sent ${sent} bytes where rank ${receiver} ` +
      `expected ${expected}: count differs${WHERE}`,
    mismatchDetails(group, sequence, call, "count"),
  );
}

/** A point-to-point message and its receive differ in `field`. Ranks and calls are those of the sender and the receiver. */
export function messagesDiffer(
  group: string,
  sequence: number,
  field: string,
  [source, rank]: readonly [number, number],
  [sent, wanted]: readonly [Fingerprint, Fingerprint],
): MismatchError {
  return new MismatchError(
    `group "${group}", message ${sequence} from rank ${source} to rank ${rank}: ${field} differs: ` +
      `rank ${source} called ${describeCall(sent)}, rank ${rank} called ${describeCall(wanted)}${WHERE}`,
    { group, sequence, field, collective: "recv" },
  );
}

function mismatchDetails(group: string, sequence: number, call: Fingerprint, field: string): ErrorDetails {
  return { group, sequence, collective: collectiveName(call), field };
}

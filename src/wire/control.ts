/** Control messages and the values of the object collectives: small values in MessagePack, each carried exactly or refused. */

import { ProtocolError } from "../errors.ts";
import { textOf } from "../support/thrown.ts";
import { exactForm } from "./exact-form.ts";
import { pack, unpack } from "./packed.ts";
import { type Limits, scan } from "./scan.ts";

/** Of control messages, before and after authentication. */
export const CONTROL_LIMITS: Limits = { depth: 16, items: 10_000 };
/** Of the values that ranks exchange by the object collectives. */
export const OBJECT_LIMITS: Limits = { depth: 128, items: 2 ** 24 };

/**
 * `value` in MessagePack. docs/objects.md lists the values that are carried.
 * @throws TypeError that names the field of `name` that cannot be, or with which the value is larger than a receiver takes.
 */
export function encodeControl(value: unknown, limits = CONTROL_LIMITS, name = "message"): Uint8Array {
  const form = exactForm(value, limits, name);
  try {
    return pack(form);
  } catch (cause) {
    throw new TypeError(`${name} cannot be sent: ${textOf(cause)}`, { cause });
  }
}

/**
 * The value that `bytes` hold. Maps become plain objects, on which no key sets a prototype.
 * @throws ProtocolError, which calls the bytes `name`, if they are not exactly one value, or hold a type that
 *   {@link encodeControl} never writes. `decode` is told bytes that are one value.
 */
export function decodeControl(
  bytes: Uint8Array,
  limits = CONTROL_LIMITS,
  name = "a control message",
  decode = unpack,
): unknown {
  const fault = scan(bytes, limits);
  if (fault) throw new ProtocolError(`${name} was refused: ${fault}`);
  try {
    return decode(bytes);
  } catch (cause) {
    throw new ProtocolError(`${name} was refused: it cannot be decoded`, { cause });
  }
}

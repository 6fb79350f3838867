/** Errors from the wire: checked field by field before they are rebuilt. */
import {
  ERROR_CODES,
  type ErrorDetails,
  MAX_WIRE_MESSAGE,
  MAX_WIRE_RANKS,
  ProtocolError,
  type WireError,
} from "../errors.ts";
import {
  expectArray,
  expectFields,
  expectInteger,
  expectOneOf,
  expectOptional,
  expectString,
  type Fields,
} from "./schema.ts";

const rank = (fields: Fields, field: string): number => expectInteger(fields, field, 0, 0xffff_fffe);
const count = (fields: Fields, field: string): number => expectInteger(fields, field, 0, Number.MAX_SAFE_INTEGER);
const text = (fields: Fields, field: string): string => expectString(fields, field);

/**
 * The error in `value`, unknown fields dropped.
 * @throws ProtocolError if a field is of the wrong type or too long, or a lost rank is not named.
 */
export function expectWireError(value: unknown): WireError {
  const fields = expectFields(value, "error");
  const from = expectFields(Object.hasOwn(fields, "details") ? fields.details : {}, "error details");
  const details: Omit<ErrorDetails, "cause" | "tensors"> = {};
  const put = <K extends keyof typeof details>(
    field: K,
    check: (fields: Fields, field: string) => (typeof details)[K],
  ) => {
    const checked = expectOptional(from, field, check);
    if (checked !== null && checked !== undefined) details[field] = checked;
  };
  put("group", text);
  put("rank", rank);
  put("collective", text);
  put("sequence", count);
  put("peer", rank);
  put("url", text);
  put("field", text);
  put("missingRanks", (map, field) => {
    const ranks = expectArray(map, field);
    if (ranks.length > MAX_WIRE_RANKS) throw new ProtocolError(`a control message's ${field} are too many`);
    return ranks.map((_, i) => rank({ [field]: ranks[i] }, field));
  });
  const code = expectOneOf(fields, "code", ERROR_CODES);
  // Without it the error could be told to nobody else.
  if (code === "PEER_LOST") rank(from, "peer");
  return {
    code,
    message: expectString(fields, "message", MAX_WIRE_MESSAGE),
    details,
  };
}

/** Errors from the wire: checked field by field before they are rebuilt. */
import { ERROR_CODES, type ErrorDetails, MAX_WIRE_MESSAGE, ProtocolError, type WireError } from "../errors.ts";
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
 * @throws ProtocolError if a field is of the wrong type.
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
  put("missingRanks", (map, field) =>
    expectArray(map, field).map((entry) => {
      if (typeof entry !== "number") throw new ProtocolError(`a control message's ${field} must hold ranks`);
      return entry;
    }),
  );
  return {
    code: expectOneOf(fields, "code", ERROR_CODES),
    message: expectString(fields, "message", MAX_WIRE_MESSAGE),
    details,
  };
}

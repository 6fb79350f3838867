/** Checks of decoded control messages: each returns the field in its type, or throws ProtocolError naming it. */
import { MAX_WIRE_TEXT, ProtocolError } from "../errors.ts";

/** A decoded map. Only its own fields count. */
export type Fields = Readonly<Record<string, unknown>>;

function wrong(field: string, expected: string): ProtocolError {
  return new ProtocolError(`a control message's ${field} must be ${expected}`);
}

function own(fields: Fields, field: string): unknown {
  return Object.hasOwn(fields, field) ? fields[field] : undefined;
}

export function expectFields(value: unknown, name = "value"): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array) {
    throw wrong(name, "a map");
  }
  return value as Fields;
}

export function expectString(fields: Fields, field: string, maxLength = MAX_WIRE_TEXT): string {
  const value = own(fields, field);
  if (typeof value !== "string" || value.length > maxLength) throw wrong(field, `a string of at most ${maxLength}`);
  return value;
}

export function expectBoolean(fields: Fields, field: string): boolean {
  const value = own(fields, field);
  if (typeof value !== "boolean") throw wrong(field, "true or false");
  return value;
}

/** A whole number from `min` to `max`. */
export function expectInteger(fields: Fields, field: string, min: number, max: number): number {
  const value = own(fields, field);
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw wrong(field, `a whole number from ${min} to ${max}`);
  }
  return value;
}

/** `check`'s result, or null where the field is null or absent. */
export function expectOptional<T>(
  fields: Fields,
  field: string,
  check: (fields: Fields, field: string) => T,
): T | null {
  const value = own(fields, field);
  return value === undefined || value === null ? null : check(fields, field);
}

export function expectBytes(fields: Fields, field: string, byteLength?: number): Uint8Array {
  const value = own(fields, field);
  if (!(value instanceof Uint8Array) || (byteLength !== undefined && value.byteLength !== byteLength)) {
    throw wrong(field, byteLength === undefined ? "bytes" : `${byteLength} bytes`);
  }
  return value;
}

export function expectArray(fields: Fields, field: string): readonly unknown[] {
  const value = own(fields, field);
  if (!Array.isArray(value)) throw wrong(field, "an array");
  return value;
}

/** One of `values`. */
export function expectOneOf<const T extends string>(fields: Fields, field: string, values: readonly T[]): T {
  const value = own(fields, field);
  const found = values.find((candidate) => candidate === value);
  if (found === undefined) throw wrong(field, `one of ${values.join(", ")}`);
  return found;
}

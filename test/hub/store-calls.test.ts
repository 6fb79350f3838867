/** Answers to store calls, of which long values are sent from where they lie: byte for byte those that are encoded as a whole. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { resultPayload } from "../../src/hub/store-calls.ts";
import { encodeControl } from "../../src/wire/control.ts";

const LENT = 16_384;
const length = fc.oneof(
  fc.constantFrom(0, 1, 255, 256, LENT - 1, LENT, LENT + 1, 65_535, 65_536, 65_537),
  fc.integer({ min: 0, max: 3 * LENT }),
);
const bytes = length.map((count) => Uint8Array.from({ length: count }, (_, i) => i * 7));
const id = fc.constantFrom(0, 127, 128, 255, 256, 65_536, 2 ** 32, Number.MAX_SAFE_INTEGER);

it("resultPayload() has the bytes of encodeControl(), for one value and for lists", () => {
  const lists = fc.array(bytes, { maxLength: 20, size: "max" });
  const other = fc.constantFrom(null, true, 7, "text", [], [1, "two"]);
  fc.assert(
    fc.property(id, fc.oneof(bytes, lists, other), (call, ok) => {
      const whole = encodeControl({ type: "result", id: call, ok });
      expect(Buffer.concat(resultPayload(call, ok)).equals(whole)).toBe(true);
    }),
  );
});

it("copies no long value", () => {
  const values = [new Uint8Array(LENT), new Uint8Array(70_000)];
  expect(resultPayload(1, values[0]).at(-1)).toBe(values[0]);
  expect(resultPayload(1, values).filter((part) => part.length >= LENT)).toEqual(values);
});

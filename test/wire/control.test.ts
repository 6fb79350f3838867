import fc from "fast-check";
import { Packr, Unpackr } from "msgpackr/index-no-eval";
import { describe, expect, it } from "vitest";
import { ProtocolError } from "../../src/errors.ts";
import { splitFrame } from "../../src/link/payload/fragments.ts";
import { CONTROL_LIMITS, decodeControl, encodeControl } from "../../src/wire/control.ts";
import { decodeFingerprint, decodeHeader, MAGIC, VERSION } from "../../src/wire/frame.ts";

const plainValue = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false),
    fc.integer(),
    fc.maxSafeInteger(),
    // MessagePack's integers have no -0.
    fc.double({ noNaN: true }).filter((value) => !Object.is(value, -0)),
    fc.string(),
    fc.uint8Array().map((bytes) => new Uint8Array(bytes)),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(
      fc.string().filter((key) => key !== "__proto__"),
      tie("value"),
      { maxKeys: 5, noNullPrototype: true },
    ),
  ),
})).value;

const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);

describe("encodeControl() and decodeControl()", () => {
  it("give back what was put in", () => {
    fc.assert(
      fc.property(plainValue, (value) => {
        expect(decodeControl(encodeControl(value))).toEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  it("give back what was put in, at any length, and as another decoder reads it", () => {
    const strings = Array.from({ length: 300 }, (_, i) => "ä".repeat(i));
    for (const value of [
      ...strings,
      { strings, bytes: new Uint8Array(70_000).fill(7), numbers: strings.map((_, i) => 1.5 ** i) },
      strings.map((text, i) => (i % 2 === 0 ? text : { [text]: i * 1_000 - 150_000 })),
      "x".repeat(70_000),
    ]) {
      const bytes = encodeControl(value);
      expect(decodeControl(bytes)).toEqual(value);
      const theirs = new Unpackr({ useRecords: false, mapsAsObjects: true, copyBuffers: true }).unpack(bytes);
      expect(JSON.stringify(theirs)).toBe(JSON.stringify(value));
      expect(decodeControl(new Packr({ useRecords: false }).pack(value))).toEqual(value);
    }
  });

  it("give bytes as a plain Uint8Array of their own, also out of a Buffer", () => {
    const message = Buffer.from(encodeControl({ bytes: new Uint8Array([1, 2, 3]) }));
    const { bytes } = decodeControl(message) as { bytes: Uint8Array };
    expect(bytes.constructor).toBe(Uint8Array);
    message.fill(0);
    expect([...bytes]).toEqual([1, 2, 3]);
  });

  it("take nesting and items up to the limit and no further", () => {
    expect(decodeControl(encodeControl(nested(CONTROL_LIMITS.depth)))).toEqual(nested(CONTROL_LIMITS.depth));
    expect(() => encodeControl(nested(CONTROL_LIMITS.depth + 1))).toThrow(TypeError);
    const most = Array.from({ length: CONTROL_LIMITS.items - 1 }, () => 0);
    expect(decodeControl(encodeControl(most))).toEqual(most);
    expect(() => encodeControl([...most, 0])).toThrow(TypeError);
  });

  it("refuse to send what would not arrive: dates and symbols", () => {
    expect(() => encodeControl({ at: new Date() })).toThrow(TypeError);
    expect(() => encodeControl(Symbol("x"))).toThrow(TypeError);
  });
});

describe("decodeControl()", () => {
  const refused = (...bytes: number[]) => expect(() => decodeControl(new Uint8Array(bytes))).toThrow(ProtocolError);

  it("S11 refuses every extension type, records among them", () => {
    refused(0xd4, 0x72, 0x40);
    for (const type of [0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8]) refused(type, ...new Array(20).fill(0));
    const record = new Packr({ useRecords: true }).pack({ name: 1 });
    expect(() => decodeControl(record)).toThrow(/extension/);
    expect(() => decodeControl(new Uint8Array([0x81, 0xa1, 0x61, 0xd4, 0x72, 0x40]))).toThrow(/extension/);
  });

  it("S11 refuses depth and item bombs", () => {
    expect(() => decodeControl(new Uint8Array(72_000).fill(0x91))).toThrow(/deeper/);
    expect(() => decodeControl(new Uint8Array([0xdd, 0, 0, 0x75, 0x30, ...new Array(30_000).fill(0)]))).toThrow(
      /items/,
    );
  });

  it("S10 refuses lengths past the end, and allocates nothing of that size", () => {
    const before = process.memoryUsage().arrayBuffers;
    for (const type of [0xc6, 0xdb, 0xdd, 0xdf]) refused(type, 0xff, 0xff, 0xff, 0xff);
    for (const type of [0xc5, 0xda, 0xdc, 0xde]) refused(type, 0xff, 0xff, 1, 2, 3);
    refused(0xc4, 2, 1);
    refused(0xa5, 65);
    refused(0x92, 1);
    refused(0xcb, 1, 2, 3);
    refused(0xc6, 0);
    refused();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
  });

  it("refuses bytes behind the value, the unused type, and keys that are no strings", () => {
    refused(1, 1);
    refused(0xc1);
    refused(0x81, 1, 1);
    refused(0x81, 0x80, 1);
  });

  it("S12 sets no prototype by constructor or prototype, and refuses __proto__", () => {
    const value = { constructor: { prototype: { admin: true } }, prototype: { admin: true } };
    const decoded = decodeControl(encodeControl(value)) as Record<string, unknown>;
    expect(decoded.admin).toBeUndefined();
    expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
    const hostile = JSON.parse('{"a":{"__proto__":{"admin":true}}}');
    expect(() => encodeControl(hostile)).toThrow(/message\.a\.__proto__ cannot be sent/);
    expect(() => decodeControl(new Packr({ useRecords: false }).pack(hostile))).toThrow(/__proto__/);
  });

  it("refuses what its decoder would change: U+FEFF at the beginning of a string, and extensions that need not be", () => {
    for (const text of ["\ufeff", `\ufeff${"x".repeat(100)}`]) {
      const plain = Uint8Array.from(new Packr({ useRecords: false }).pack(text));
      expect(() => decodeControl(plain)).toThrow(/U\+FEFF/);
      expect(decodeControl(encodeControl(text))).toBe(text);
    }
    // "a" in UTF-16, an odd number of bytes, and a text of none.
    refused(0xd5, 1, 0x61, 0);
    refused(0xc7, 3, 1, 0xff, 0xfe, 0);
    refused(0xc7, 0, 1);
    refused(0x81, 0xd4, 0, 0, 1);
  });

  it("S10 refuses strings of which an engine could make none", { timeout: 60_000 }, () => {
    const bytes = new Uint8Array(3 * 2 ** 27 + 6);
    new DataView(bytes.buffer).setUint8(0, 0xdb);
    new DataView(bytes.buffer).setUint32(1, bytes.length - 5);
    expect(() => decodeControl(bytes)).toThrow(/longer than/);
  });

  it("lets nothing but ProtocolError escape, whatever comes (5,000 inputs)", () => {
    const types = fc.constantFrom(0x81, 0x91, 0xa1, 0xc4, 0xc6, 0xcb, 0xd4, 0xd9, 0xdc, 0xdd, 0xde, 0xdf, 0x72, 0);
    const bytes = fc.array(fc.oneof(fc.integer({ min: 0, max: 255 }), types), { maxLength: 80 });
    let accepted = 0;
    fc.assert(
      fc.property(bytes, (list) => {
        try {
          decodeControl(new Uint8Array(list));
          accepted++;
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 5_000 },
    );
    expect(accepted).toBeGreaterThan(0);
  });

  it("survives a flipped byte in a right message (2,000 inputs)", () => {
    const message = encodeControl({
      type: "call",
      id: 7,
      op: "set",
      args: ["key", new Uint8Array(40)],
      more: [1.5, -1, 70_000],
    });
    fc.assert(
      fc.property(fc.nat(message.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
        const broken = message.slice();
        broken[at]! ^= bits;
        try {
          decodeControl(broken);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("splitFrame() and decodeHeader()", () => {
  it("let nothing but ProtocolError escape, however the bytes are cut (5,000 inputs)", () => {
    const fragment = fc.uint8Array({ minLength: 5, maxLength: 60, size: "max" });
    const begins = fc.constantFrom(
      new Uint8Array([MAGIC, VERSION, 1, 0]),
      new Uint8Array([MAGIC, VERSION, 6, 1]),
      new Uint8Array(),
    );
    let whole = 0;
    fc.assert(
      fc.property(begins, fc.array(fragment, { maxLength: 6 }), (begin, rest) => {
        const fragments = [begin, ...rest];
        try {
          const { head, payload } = splitFrame(fragments);
          const bytes = new Uint8Array(payload.byteLength);
          payload.copyTo(bytes);
          expect(Buffer.concat([head, bytes])).toEqual(Buffer.concat(fragments));
          if (decodeHeader(head).flags & 1) decodeFingerprint(head);
          whole++;
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 5_000 },
    );
    expect(whole).toBeGreaterThan(100);
  });
});

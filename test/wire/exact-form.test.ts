/** The table of docs/objects.md, held by drawn values: each row is carried exactly, or refused by its path. */
import { deepStrictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeControl, encodeControl, OBJECT_LIMITS } from "../../src/wire/control.ts";
import { needsText } from "../../src/wire/packed.ts";

const roundTrip = (value: unknown) => decodeControl(encodeControl(value, OBJECT_LIMITS), OBJECT_LIMITS);

/** Strings that decoders and msgpackr treat in their own way, short and long. */
const text = fc
  .tuple(
    fc.constantFrom("", "\ufeff", "\ufeff\ufeff", "\ud800", "\udc00\ud800", "é", "\u0000"),
    fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }), fc.constant("a\ud83d\ude00ß".repeat(60))),
    fc.constantFrom("", "\ud83d", "\ufeff", "z".repeat(300)),
  )
  .map((parts) => parts.join(""));
const key = text.filter((drawn) => drawn !== "__proto__");
const number = fc.oneof(fc.double(), fc.integer(), fc.maxSafeInteger(), fc.constantFrom(-0, 2 ** 32, -(2 ** 31) - 1));
const bytes = fc.uint8Array({ maxLength: 300 }).map((drawn) => new Uint8Array(drawn));
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n });
const carried = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false, undefined),
    number,
    int64,
    text,
    bytes,
    fc.array(tie("value"), { maxLength: 20 }),
    fc
      .array(fc.tuple(fc.oneof(key, fc.constantFrom("constructor", "prototype", "toJSON", "0")), tie("value")), {
        maxLength: 20,
      })
      .map((entries) => Object.fromEntries(entries)),
  ),
})).value;

/** What a row carries, each with what arrives. */
const same = <T>(arbitrary: fc.Arbitrary<T>) => arbitrary.map((value) => [value, value] as const);
const pairs = (...list: [unknown, unknown][]) => fc.constantFrom(...list);

class Point {
  x = 1;
}
const deep = (levels: number, inner: unknown = 1): unknown => (levels === 0 ? inner : [deep(levels - 1, inner)]);
const itself: Record<string, unknown> = {};
itself.again = itself;
const detached = new Uint8Array(4);
structuredClone(detached, { transfer: [detached.buffer] });

const CARRIED: Record<string, fc.Arbitrary<readonly [sent: unknown, got: unknown]>> = {
  "null, true and false": same(fc.constantFrom(null, true, false)),
  undefined: pairs([undefined, undefined], [{ a: undefined }, { a: undefined }], [[undefined], [undefined]]),
  number: same(number),
  "BigInt of 64 bits": same(int64),
  string: same(text),
  Uint8Array: fc.oneof(
    same(bytes),
    bytes.map((drawn) => [Buffer.from(drawn), drawn] as const),
    bytes.map((drawn) => {
      const shared = new Uint8Array(new SharedArrayBuffer(drawn.length + 3), 3);
      shared.set(drawn);
      return [shared, drawn] as const;
    }),
    bytes.map((drawn) => [runInNewContext("Uint8Array.from(list)", { list: [...drawn] }), drawn] as const),
    bytes.map((drawn) => [new (class Mine extends Uint8Array {})(drawn), drawn] as const),
  ),
  array: fc.oneof(
    same(fc.array(carried)),
    pairs([runInNewContext("[1, [2]]"), [1, [2]]]),
    pairs([Array.from({ length: 70_000 }, (_, i) => i), Array.from({ length: 70_000 }, (_, i) => i)]),
  ),
  "plain object": fc.oneof(
    same(fc.dictionary(key, carried, { noNullPrototype: true })),
    fc
      .dictionary(key, carried, { noNullPrototype: true })
      .map((drawn) => [Object.assign(Object.create(null), drawn), drawn] as const),
    pairs(
      [runInNewContext("({ a: { b: [1] } })"), { a: { b: [1] } }],
      [Object.defineProperty({ a: 1 }, "hidden", { value: 2 }), { a: 1 }],
      [
        { constructor: "Map", hasOwnProperty: 1, toJSON: 2, length: 3 },
        { constructor: "Map", hasOwnProperty: 1, toJSON: 2, length: 3 },
      ],
      [
        Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`k${i}`, i])),
        Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`k${i}`, i])),
      ],
    ),
  ),
  getter: fc.integer().map((value) => {
    let reads = 0;
    return [
      {
        get a() {
          return value + reads++;
        },
      },
      { a: value },
    ] as const;
  }),
  "one object in two places": carried.map((value) => {
    const one = { value };
    return [
      [one, { one }],
      [{ value }, { one: { value } }],
    ] as const;
  }),
};

const REFUSED: Record<string, { values: unknown[]; reason: RegExp; step?: string }> = {
  "BigInt of more than 64 bits": { values: [2n ** 64n, -(2n ** 63n) - 1n, 10n ** 100n], reason: /BigInt.*text/ },
  "string of more than 2^27 units": {
    values: ["ä".repeat(300_000_000), "a".repeat(2 ** 27 + 1)],
    reason: /string of \d+/,
  },
  "key `__proto__`": {
    values: [JSON.parse('{"__proto__":1,"\ufeff__proto__":2}')],
    reason: /no object/,
    step: ".__proto__",
  },
  "key that is a symbol": { values: [{ [Symbol("s")]: 1 }], reason: /symbol/, step: "[Symbol(s)]" },
  "hole of a sparse array": {
    values: [Object.assign(new Array(3), { 0: 1, 2: 3 }), new Array(2).fill(0, 0, 1)],
    reason: /hole/,
    step: "[1]",
  },
  "named field of an array": {
    values: [Object.assign([1], { x: 1 }), Object.assign([], { x: 1 })],
    reason: /named field/,
    step: ".x",
  },
  "value that contains itself": { values: [itself], reason: /contains itself/, step: ".again" },
  "more than 128 levels": { values: [deep(129)], reason: /deeper than 128/ },
  "more than 2^24 items": { values: [new Array(2 ** 24)], reason: /items/ },
  "function or symbol": { values: [() => 1, class {}, Symbol("s"), Symbol.iterator], reason: /a (function|symbol)/ },
  "other typed array": {
    values: [new Float32Array(1), new BigInt64Array(1), new Uint8ClampedArray(1), runInNewContext("new Int16Array(1)")],
    reason: /Array; send its bytes/,
  },
  "ArrayBuffer or DataView": {
    values: [
      new ArrayBuffer(1),
      new SharedArrayBuffer(1),
      new DataView(new ArrayBuffer(1)),
      runInNewContext("new ArrayBuffer(1)"),
    ],
    reason: /Uint8Array of it/,
  },
  Date: { values: [new Date(), new Date(Number.NaN), runInNewContext("new Date()")], reason: /getTime/ },
  "Map or Set": { values: [new Map(), new Set([1]), runInNewContext("new Map()")], reason: /\[\.\.\.(map|set)\]/ },
  "instance of a class": {
    values: [
      ...[
        new Point(),
        new Error("e"),
        /x/,
        Promise.resolve(),
        Object(1),
        Object("s"),
        new (class extends Array {})(),
        new WeakMap(),
      ],
      ...[
        Object.create({ inherited: 1 }),
        Math,
        new Proxy(new Point(), {}),
        runInNewContext("/x/"),
        runInNewContext("(function () { return arguments; })()"),
      ],
    ],
    reason: /plain object/,
  },
  "field that throws when it is read": {
    values: [
      {
        get a() {
          throw new Error("mine");
        },
      },
      new Proxy(
        { a: 1 },
        {
          get: (_, name) => {
            if (name === "a") throw new Error("mine");
            return undefined;
          },
        },
      ),
    ],
    reason: /reading it failed: Error: mine/,
    step: ".a",
  },
};

/** Ways to put a value into others, with the path to it. */
const place = fc
  .array(fc.oneof(fc.nat(4), fc.constantFrom("a", "rows", "a b", "é", "0x", "\ufeffid")), { maxLength: 5 })
  .map((steps) => ({
    path: steps
      .map((step) =>
        typeof step === "number" ? `[${step}]` : /^[a-z]+$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`,
      )
      .join(""),
    put: (value: unknown) =>
      steps.reduceRight((inner: unknown, step) => {
        if (typeof step === "string") return { first: [1], [step]: inner };
        return [...Array.from({ length: step }, (_, i) => ({ i })), inner];
      }, value),
  }));

describe("the table of docs/objects.md", () => {
  const rows = [
    ...readFileSync(new URL("../../docs/objects.md", import.meta.url), "utf8").matchAll(
      /^\| (.*?) +\| (carried|refused) \|/gm,
    ),
  ];

  it("has the rows that are tried here", () => {
    const outcomes = Object.fromEntries(rows.map(([, name, outcome]) => [name, outcome]));
    const tried = [
      ...Object.keys(CARRIED).map((name) => [name, "carried"]),
      ...Object.keys(REFUSED).map((name) => [name, "refused"]),
    ];
    expect(outcomes).toEqual(Object.fromEntries(tried));
  });

  it.each(Object.entries(CARRIED))("carries: %s", (_, arbitrary) => {
    fc.assert(
      fc.property(arbitrary, place, ([sent, got], { put }) => {
        deepStrictEqual(roundTrip(put(sent)), put(got));
      }),
      { numRuns: 200 },
    );
  });

  it.each(Object.entries(REFUSED))("refuses: %s", (_, { values, reason, step = "" }) => {
    for (const value of values) {
      fc.assert(
        fc.property(place, ({ path, put }) => {
          // The levels around it count, too.
          const levels = path.match(/\[|\./g)?.length ?? 0;
          const deepest = reason.source.includes("128") ? "[0]".repeat(128 - levels) : step;
          let error: unknown;
          try {
            encodeControl(put(value), OBJECT_LIMITS, "objects");
          } catch (caught) {
            error = caught;
          }
          expect(error).toBeInstanceOf(TypeError);
          expect((error as Error).message).toMatch(reason);
          expect((error as Error).message.startsWith(`objects${path}${deepest} cannot be sent: `)).toBe(true);
        }),
        { numRuns: 30 },
      );
    }
  });

  it("refuses memory that was given away", () => {
    expect(() => encodeControl({ a: detached })).toThrow(/message\.a cannot be sent: reading it failed/);
  });
});

describe("encodeControl() and decodeControl()", () => {
  it("give back what was put in, -0, U+FEFF and lone surrogates too (1,000 values)", () => {
    fc.assert(
      fc.property(carried, (value) => {
        const got = roundTrip(value);
        deepStrictEqual(got, value);
        // The input stays as it was, and what arrived can be sent on.
        deepStrictEqual(roundTrip(got), value);
      }),
      { numRuns: 1_000 },
    );
  });

  it("keep keys apart that differ in U+FEFF or a lone surrogate", () => {
    fc.assert(
      fc.property(fc.uniqueArray(key, { maxLength: 30 }), (keys) => {
        expect(Object.keys(roundTrip(Object.fromEntries(keys.map((name) => [name, 1]))) as object).sort()).toEqual(
          [...keys].sort(),
        );
      }),
    );
  });

  it("give objects that no key has polluted", () => {
    const hostile = JSON.parse(
      '{"constructor":{"prototype":{"admin":true}},"prototype":{"admin":true},"__defineGetter__":1}',
    );
    const got = roundTrip(hostile) as Record<string, unknown>;
    deepStrictEqual(got, hostile);
    expect(Object.getPrototypeOf(got)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });

  it("refuse a value whose sum of items is one too many, and one that grows without end by what it shares", () => {
    const limits = { depth: 128, items: 100 };
    expect(() => encodeControl(new Array(100).fill(0), limits)).toThrow(/items/);
    expect(decodeControl(encodeControl(new Array(99).fill(0), limits), limits)).toHaveLength(99);
    let bomb: unknown = 1;
    for (let i = 0; i < 100; i++) bomb = [bomb, bomb];
    expect(() => encodeControl(bomb)).toThrow(TypeError);
  });

  it("are bytes of their own, whatever is packed next, also after a long value", () => {
    const first = encodeControl({ a: 1 });
    const long = encodeControl("x".repeat(3_000_000));
    const second = encodeControl({ b: 2 });
    expect([decodeControl(first), decodeControl(second)]).toEqual([{ a: 1 }, { b: 2 }]);
    expect((decodeControl(long) as string).length).toBe(3_000_000);
    expect(second.buffer.byteLength).toBeLessThan(100);
  });
});

describe("needsText()", () => {
  it("finds every string that a decoder of UTF-8 gives back in another form", () => {
    const decoder = new TextDecoder();
    fc.assert(
      fc.property(text, (value) => {
        expect(needsText(value)).toBe(decoder.decode(new TextEncoder().encode(value)) !== value);
      }),
      { numRuns: 1_000 },
    );
  });
});

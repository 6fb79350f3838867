import { describe, expect, it } from "vitest";
import { COLLECTIVES } from "../../src/types.ts";
import { CALL_FIELDS, readCall, sameCalls, writeCall } from "../../src/wire/call-record.ts";
import { differingField, FINGERPRINT_LABELS } from "../../src/wire/call-words.ts";
import { isSameCall } from "../../src/wire/fingerprint.ts";
import { decodeFingerprint, encodeHeader, type Fingerprint, FrameKind, HEADER_BYTES } from "../../src/wire/frame.ts";

const HEADER = { kind: FrameKind.DATA, flags: 0, peer: 0, epoch: 0, slot: 0, group: 1, sequence: 0 };
const ZERO: Fingerprint = {
  ...{
    refused: 0,
    collective: 0,
    dtype: 0,
    op: 0,
    customOp: 0,
    root: 0,
    count: 0,
    detail: 0,
    algorithm: 0,
    segmentBytes: 0,
    persistent: 0,
    ahead: 0,
  },
};

/** Where each field begins in the fingerprint: docs/protocol.md. */
const FIELDS = [
  { name: "refused", at: 3 },
  { name: "persistent", at: 40 },
  { name: "collective", at: 0 },
  { name: "dtype", at: 1 },
  { name: "op", at: 2 },
  { name: "customOp", at: 24 },
  { name: "root", at: 4 },
  { name: "count", at: 8 },
  { name: "detail", at: 16 },
  { name: "algorithm", at: 32 },
  { name: "segmentBytes", at: 36 },
  { name: "ahead", at: 48 },
] as const;
const encode = (call: Fingerprint) => encodeHeader({ ...HEADER, payloadBytes: 0, request: 0 }, call);

describe("FINGERPRINT_LABELS", () => {
  it("has every field once, each at bytes of its own", () => {
    expect(Object.keys(FINGERPRINT_LABELS)).toEqual(FIELDS.map(({ name }) => name));
    expect(Object.keys(FINGERPRINT_LABELS).sort()).toEqual(Object.keys(ZERO).sort());
    expect(new Set(FIELDS.map(({ at }) => at)).size).toBe(FIELDS.length);
    expect(CALL_FIELDS).toBe(FIELDS.length);
  });

  it.each(FIELDS)("$name stands at byte $at of a frame, and is read from there", ({ name, at }) => {
    const call = { ...ZERO, [name]: 7 };
    const bytes = encode(call);
    const written = [...bytes.keys()].filter((i) => i >= HEADER_BYTES && bytes[i] !== 0);
    expect(written).toEqual([HEADER_BYTES + at]);
    expect(decodeFingerprint(bytes)).toEqual(call);
  });

  it.each([-4, 0, 2 ** 40])("a call %i ahead of its sequence crosses the wire as its number", (ahead) => {
    const sequence = 2 ** 33 + 5;
    const bytes = encodeHeader({ ...HEADER, sequence, payloadBytes: 0, request: 0 }, { ...ZERO, ahead });
    const number = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(HEADER_BYTES + 48, true);
    expect(Number(number)).toBe(sequence + ahead);
    expect(decodeFingerprint(bytes)).toEqual({ ...ZERO, ahead });
  });

  it.each(FIELDS)("$name stands in a call record, in the order of bytes", ({ name, at }) => {
    const call = { ...ZERO, [name]: 7 };
    const floats = new Float64Array(2 * CALL_FIELDS);
    writeCall(floats, CALL_FIELDS, call);
    const before = FIELDS.filter((other) => other.at < at).length;
    expect(floats.indexOf(7)).toBe(CALL_FIELDS + before);
    expect(readCall(floats, CALL_FIELDS)).toEqual(call);
    expect(sameCalls(floats, 0, CALL_FIELDS)).toBe(false);
  });

  it.each(FIELDS)("$name is compared, and named as a user calls it", ({ name }) => {
    const call = { ...ZERO, [name]: 7 };
    expect(differingField(call, ZERO)).toBe(FINGERPRINT_LABELS[name]);
    expect(differingField(call, { ...call })).toBeNull();
    expect([isSameCall(call, ZERO), isSameCall(ZERO, call), isSameCall(call, { ...call })]).toEqual([
      false,
      false,
      true,
    ]);
  });
});

describe("the labels", () => {
  it("are the words of errors", () => {
    const custom = "custom reduce op (its name or its wgsl)";
    expect(Object.values(FINGERPRINT_LABELS)).toEqual([
      ...[
        "number of calls refused before this one",
        "persistent call",
        "collective",
        "dtype",
        "reduce op",
        custom,
        "root",
        "count",
        "list of counts",
        "algorithm",
        "segment size",
        "number in the program",
      ],
    ]);
  });
});

describe("differingField()", () => {
  it("names the first field that differs", () => {
    expect(differingField(ZERO, { ...ZERO, customOp: 1, root: 1 })).toBe("custom reduce op (its name or its wgsl)");
    expect(differingField(ZERO, { ...ZERO, root: 1, count: 1 })).toBe("root");
  });

  it("speaks of ranks where a new group's differ", () => {
    const call = { ...ZERO, collective: COLLECTIVES.indexOf("newGroup") };
    expect(differingField(call, { ...call, detail: 1 })).toBe("list of ranks, or name");
  });
});

import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ProtocolError } from "../../src/errors.ts";
import { encodeControl } from "../../src/wire/control.ts";
import { VERSION } from "../../src/wire/frame.ts";
import { decodeHandshake, encodeHandshake, type Hello, makeNonce } from "../../src/wire/handshake.ts";
import { prove, verify } from "../../src/wire/proof.ts";

const hello: Hello = { group: "gruppe-é", rank: 3, worldSize: 8, purpose: "hub", checksums: false };

describe("prove()", () => {
  it("is HMAC-SHA-256 over the bytes of docs/protocol.md", async () => {
    const nonce = makeNonce();
    const numbers = Buffer.alloc(10);
    numbers.writeUInt32LE(3, 0);
    numbers.writeUInt32LE(8, 4);
    numbers.writeUInt8(0, 8);
    const message = Buffer.concat([Buffer.from("webccl/6 hello\0"), nonce, numbers, Buffer.from("gruppe-é")]);
    const expected = createHmac("sha256", "s3cret").update(message).digest();
    expect(Buffer.from(await prove("s3cret", nonce, hello)).equals(expected)).toBe(true);
  });

  it("differs for another nonce, group, rank, world size, purpose, wish for checksums and token", async () => {
    const nonce = makeNonce();
    const proof = await prove("token", nonce, hello);
    expect(await verify("token", nonce, hello, proof)).toBe(true);
    expect(await verify("token", makeNonce(), hello, proof)).toBe(false);
    expect(await verify("other", nonce, hello, proof)).toBe(false);
    expect(await verify("token", nonce, hello, null)).toBe(false);
    expect(await verify("token", nonce, hello, proof.subarray(0, 31))).toBe(false);
    const changes: Partial<Hello>[] = [
      { group: "h" },
      { rank: 4 },
      { rank: null },
      { worldSize: 9 },
      { purpose: "link" },
      { checksums: true },
    ];
    for (const change of changes) expect(await verify("token", nonce, { ...hello, ...change }, proof)).toBe(false);
  });
});

describe("makeNonce()", () => {
  it("gives 32 bytes that do not repeat", () => {
    const seen = new Set(Array.from({ length: 1_000 }, () => Buffer.from(makeNonce()).toString("hex")));
    expect(seen.size).toBe(1_000);
    expect(makeNonce().length).toBe(32);
  });
});

describe("encodeHandshake() and decodeHandshake()", () => {
  it("give back every message", () => {
    const messages = [
      { type: "challenge", nonce: makeNonce() },
      { type: "hello", hello, proof: new Uint8Array(32) },
      { type: "hello", hello: { ...hello, rank: null }, proof: null },
      { type: "welcome", welcome: { rank: 1, worldSize: 4, epoch: 0, hostRank: null, checksums: false } },
      { type: "refused", reason: "no", retry: true },
    ] as const;
    for (const message of messages) expect(decodeHandshake(encodeHandshake(message), [message.type])).toEqual(message);
  });

  it("refuses a message out of turn, of another version, or with a field of the wrong type", () => {
    const challenge = encodeHandshake({ type: "challenge", nonce: makeNonce() });
    expect(() => decodeHandshake(challenge, ["hello"])).toThrow(ProtocolError);
    const wrong: unknown[] = [
      { type: "challenge", version: VERSION + 1, nonce: new Uint8Array(32) },
      { type: "challenge", version: VERSION, nonce: new Uint8Array(31) },
      { type: "hello", version: VERSION, ...hello, rank: -1, proof: null },
      { type: "hello", version: VERSION, ...hello, worldSize: -1, proof: null },
      { type: "hello", version: VERSION, ...hello, worldSize: 1.5, proof: null },
      { type: "hello", version: VERSION, ...hello, group: "g".repeat(257), proof: null },
      { type: "hello", version: VERSION, ...hello, purpose: "toString", proof: null },
      { type: "hello", version: VERSION, ...hello, checksums: "no", proof: null },
      { type: "hello", version: VERSION, ...hello, proof: "text" },
      { type: "welcome" },
      [],
      "hello",
      null,
    ];
    for (const value of wrong) {
      expect(() => decodeHandshake(encodeControl(value), ["challenge", "hello", "welcome"])).toThrow(ProtocolError);
    }
  });
});

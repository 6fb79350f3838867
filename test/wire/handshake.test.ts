import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ProtocolError } from "../../src/errors.ts";
import { encodeControl } from "../../src/wire/control.ts";
import { VERSION } from "../../src/wire/frame.ts";
import { decodeHandshake, encodeHandshake, type Hello, makeNonce, type Welcome } from "../../src/wire/handshake.ts";
import { helloBytes, isEqual, maskBytes, welcomeBytes } from "../../src/wire/proof/proof.ts";

const hello: Hello = { group: "gruppe-é", rank: 3, worldSize: 8, purpose: "hub", checksums: false };

const nonces = { challenge: makeNonce(), hello: makeNonce() };
const u32s = (...numbers: number[]) => Buffer.from(Uint32Array.from(numbers).buffer);
const welcome = { rank: 1, worldSize: 4, epoch: 2, hostRank: null, checksums: false };
const resume = new Uint8Array(40).fill(3);

describe("what a proof covers", () => {
  it("is the bytes of docs/protocol.md", () => {
    const both = [nonces.challenge, nonces.hello];
    const said = Buffer.concat([Buffer.from("webccl/7 hello\0"), ...both, u32s(3, 8, 0, 0), Buffer.from("gruppe-é")]);
    expect(Buffer.from(helloBytes(nonces, hello))).toEqual(said);
    const answered = Buffer.concat([Buffer.from("webccl/7 welcome\0"), ...both, u32s(1, 4, 2, 0xffffffff, 0)]);
    expect(Buffer.from(welcomeBytes(nonces, welcome, null))).toEqual(answered);
    const resumed = Buffer.concat([answered, resume]);
    expect(Buffer.from(welcomeBytes(nonces, welcome, resume))).toEqual(resumed);
    expect(Buffer.from(maskBytes(nonces))).toEqual(Buffer.concat([Buffer.from("webccl/7 resume\0"), ...both]));
  });

  it("differs wherever any field of a hello or a welcome differs", () => {
    const said = Buffer.from(helloBytes(nonces, hello));
    const changes: { [Field in keyof Hello]: Hello[Field] } = {
      ...{ group: "h", rank: null, worldSize: 9, purpose: "link", checksums: true },
    };
    for (const [field, value] of Object.entries(changes)) {
      expect(Buffer.from(helloBytes(nonces, { ...hello, [field]: value })), field).not.toEqual(said);
    }
    for (const side of ["challenge", "hello"]) {
      expect(Buffer.from(helloBytes({ ...nonces, [side]: makeNonce() }, hello)), side).not.toEqual(said);
    }
    const answered = Buffer.from(welcomeBytes(nonces, welcome, resume));
    const others: { [Field in keyof Welcome]: Welcome[Field] } = {
      ...{ rank: 2, worldSize: 5, epoch: 3, hostRank: 0, checksums: true },
    };
    for (const [field, value] of Object.entries(others)) {
      expect(Buffer.from(welcomeBytes(nonces, { ...welcome, [field]: value }, resume)), field).not.toEqual(answered);
    }
    expect(Buffer.from(welcomeBytes(nonces, welcome, null))).not.toEqual(answered);
  });
});

describe("isEqual()", () => {
  it("is true of equal bytes alone", () => {
    const proof = createHmac("sha256", "token").update("bytes").digest();
    expect(isEqual(proof, new Uint8Array(proof))).toBe(true);
    for (const other of [null, proof.subarray(1), new Uint8Array(0), Buffer.concat([proof, proof])]) {
      expect(isEqual(proof, other)).toBe(false);
    }
    for (let at = 0; at < proof.length; at++) {
      expect(
        isEqual(
          proof,
          proof.map((byte, i) => (i === at ? byte ^ 1 : byte)),
        ),
      ).toBe(false);
    }
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
      { type: "hello", hello, nonce: makeNonce(), ticket: new Uint8Array(9), proof: new Uint8Array(32) },
      { type: "hello", hello: { ...hello, rank: null }, nonce: makeNonce(), ticket: null, proof: null },
      { type: "welcome", welcome, resume, proof: new Uint8Array(32) },
      { type: "welcome", welcome, resume: null, proof: null },
      { type: "refused", reason: "no", retry: true },
    ] as const;
    for (const message of messages) expect(decodeHandshake(encodeHandshake(message), [message.type])).toEqual(message);
  });

  it("refuses a message out of turn, of another version, or with a field of the wrong type", () => {
    const challenge = encodeHandshake({ type: "challenge", nonce: makeNonce() });
    expect(() => decodeHandshake(challenge, ["hello"])).toThrow(ProtocolError);
    const said = { ...hello, nonce: makeNonce(), ticket: null, proof: null };
    const wrong: unknown[] = [
      { type: "challenge", version: VERSION + 1, nonce: new Uint8Array(32) },
      { type: "challenge", version: VERSION, nonce: new Uint8Array(31) },
      { type: "hello", version: VERSION, ...said, rank: -1 },
      { type: "hello", version: VERSION, ...said, worldSize: -1 },
      { type: "hello", version: VERSION, ...said, worldSize: 1.5 },
      { type: "hello", version: VERSION, ...said, group: "g".repeat(257) },
      { type: "hello", version: VERSION, ...said, purpose: "toString" },
      { type: "hello", version: VERSION, ...said, checksums: "no" },
      { type: "hello", version: VERSION, ...said, proof: "text" },
      { type: "hello", version: VERSION, ...said, nonce: new Uint8Array(31) },
      { type: "hello", version: VERSION, ...said, ticket: "text" },
      { type: "welcome" },
      { type: "welcome", ...welcome, resume: 7, proof: null },
      [],
      "hello",
      null,
    ];
    for (const value of wrong) {
      expect(() => decodeHandshake(encodeControl(value), ["challenge", "hello", "welcome"])).toThrow(ProtocolError);
    }
  });
});

/**
 * One message of each form that crosses the wire, as the code of today writes it. `npx tsx test/wire/versions/vectors.ts` prints
 * them: the file of a version, which is recorded once and never changes.
 */
import { createHmac } from "node:crypto";
import { pathToFileURL } from "node:url";
import type { WireError } from "../../../src/errors.ts";
import type { Message } from "../../../src/membership/messages.ts";
import { encodeMessage, type GroupMessage, type MeshMessage } from "../../../src/wire/control-messages.ts";
import { encodeHeader, FrameKind, VERSION } from "../../../src/wire/frame.ts";
import { encodeHandshake, type Hello } from "../../../src/wire/handshake.ts";
import { encodeHubFrame } from "../../../src/wire/hub-frame.ts";
import { helloBytes, welcomeBytes } from "../../../src/wire/proof/proof.ts";
import { encodePayload } from "../../../src/wire/proof/ticket.ts";

const TOKEN = "the token of the vectors";
const bytes = (length: number, first: number) => Uint8Array.from({ length }, (_, i) => (first + i) % 256);
const NONCE = bytes(32, 1);

const HELLO: Hello = { group: "gruppe-é", rank: 3, worldSize: 8, purpose: "hub", checksums: true };

const ERROR: WireError = {
  code: "PEER_LOST",
  message: "rank 1 was lost",
  details: { group: "g", rank: 0, peer: 1, missingRanks: [1, 2] },
};

function handshakes() {
  const nonces = { challenge: NONCE, hello: bytes(32, 101) };
  const proofOf = (over: Uint8Array) => new Uint8Array(createHmac("sha256", TOKEN).update(over).digest());
  const welcome = { rank: 3, worldSize: 8, epoch: 2, hostRank: 0, checksums: true };
  const facts = {
    id: bytes(16, 7),
    group: "g",
    rank: 1,
    role: "rank",
    expiresAt: 1.8e12,
    maxBytesInFlight: null,
  } as const;
  const ticket = encodePayload(facts);
  const resume = Uint8Array.from([...bytes(32, 200), ...ticket]);
  const said = { type: "hello", nonce: nonces.hello } as const;
  return {
    challenge: encodeHandshake({ type: "challenge", nonce: NONCE }),
    hello: encodeHandshake({ ...said, hello: HELLO, ticket: null, proof: proofOf(helloBytes(nonces, HELLO)) }),
    "hello without token": encodeHandshake({ ...said, hello: { ...HELLO, rank: null }, ticket: null, proof: null }),
    "hello by ticket": encodeHandshake({ ...said, hello: HELLO, ticket, proof: bytes(32, 50) }),
    welcome: encodeHandshake({
      ...{ type: "welcome", welcome, resume: null },
      proof: proofOf(welcomeBytes(nonces, welcome, null)),
    }),
    "welcome without token": encodeHandshake({ type: "welcome", welcome, resume: null, proof: null }),
    "welcome by ticket": encodeHandshake({
      ...{ type: "welcome", welcome, resume },
      proof: proofOf(welcomeBytes(nonces, welcome, resume)),
    }),
    "refused without a reason": encodeHandshake({ type: "refused", reason: "refused", retry: false }),
    "refused with a reason": encodeHandshake({ type: "refused", reason: "this hub is closing", retry: true }),
  };
}

function frames() {
  const header = {
    ...{ kind: FrameKind.DATA, flags: 0, peer: 3, epoch: 1, slot: 2, group: 2 ** 40 + 1, sequence: 2 ** 33 + 5 },
    ...{ payloadBytes: 1024, request: 7 },
  };
  const fingerprint = {
    ...{
      refused: 1,
      persistent: 2 ** 52,
      ahead: 12,
      collective: 2,
      dtype: 12,
      op: 0,
      customOp: 3,
      root: 1,
      count: 2 ** 35,
    },
    ...{ detail: 4, algorithm: 5, segmentBytes: 65_536 },
  };
  const kinds = Object.entries(FrameKind).map(([name, kind]) => [
    `frame ${name}`,
    encodeHeader({ ...header, kind }, kind === FrameKind.DATA ? fingerprint : null),
  ]);
  return Object.fromEntries(kinds) as Record<string, Uint8Array>;
}

function betweenRanks() {
  const messages: (GroupMessage | MeshMessage)[] = [
    { type: "mismatch", sequence: 1, error: ERROR },
    { type: "verdict", sequence: 1, error: ERROR },
    { type: "point-to-point-ready", sequence: 2 },
    { type: "point-to-point-mismatch", sequence: 2, error: ERROR },
    { type: "abort", error: ERROR },
    { type: "leave" },
    { type: "probe", id: 1, sequence: 3 },
    { type: "probe-reply", id: 1, entered: true, waitingFor: [2] },
    { type: "goodbye" },
    { type: "lost", rank: 1, reason: "closed" },
    { type: "damaged", seen: "the payload of a frame" },
  ];
  return Object.fromEntries(messages.map((message) => [`rank ${message.type}`, encodeMessage(message)]));
}

function aboutEpochs() {
  const verdict = { epoch: 1, members: [0, 2], hub: { url: "ws://127.0.0.1:29500", seat: 0 } };
  const messages: Message[] = [
    { type: "here", epoch: 1, kind: "shrink", unreachable: [1], accepted: { ballot: 0, verdict } },
    { type: "leading", epoch: 1 },
    { type: "link", epoch: 1, joiners: [{ number: 1, seat: 3, entry: bytes(4, 9) }] },
    { type: "linked", epoch: 1, unreachable: [] },
    { type: "propose", epoch: 1, ballot: 0, verdict },
    { type: "accepted", epoch: 1, ballot: 0 },
    { type: "verdict", epoch: 1, verdict },
    { type: "resigned", epoch: 1 },
    { type: "ended", epoch: 1, error: ERROR },
  ];
  const encoded = messages.map((message) => [`epoch ${message.type}`, encodeMessage({ type: "membership", message })]);
  return Object.fromEntries(encoded) as Record<string, Uint8Array>;
}

function withHub() {
  const messages = [
    { type: "call", id: 1, op: "compareSet", args: ["key", bytes(2, 0), bytes(3, 5)] },
    { type: "group", group: 5, ranks: [0, 2] },
    { type: "group-end", group: 5 },
    { type: "checksums" },
    { type: "members", epoch: 1, ranks: [0, 2] },
    { type: "cancel", group: 5, sequence: 9 },
    { type: "result", id: 1, ok: bytes(3, 5) },
    { type: "goodbye", cause: ERROR },
    { type: "left", rank: 2 },
    { type: "lost", rank: 2, reason: "its connection closed" },
    { type: "damaged", rank: 2, seen: "the header of a frame" },
  ];
  const joined = ([header, payload]: [Uint8Array, Uint8Array]) => Buffer.concat([header, payload]);
  return Object.fromEntries(messages.map((message) => [`hub ${message.type}`, joined(encodeHubFrame(message))]));
}

/** By name, the bytes of each message in hexadecimal digits. */
export function vectors(): Record<string, string> {
  const all: Record<string, Uint8Array> = {
    ...handshakes(),
    ...frames(),
    ...betweenRanks(),
    ...aboutEpochs(),
    ...withHub(),
  };
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, Buffer.from(value).toString("hex")]));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  process.stdout.write(`${JSON.stringify({ version: VERSION, messages: vectors() }, null, 2)}\n`);
}

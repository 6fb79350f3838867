/**
 * The handshake's messages, and the proof that a rank holds the group's token. The token itself never crosses the wire.
 *
 *   accepting side → challenge { version, nonce }
 *   connecting side → hello { version, group, rank, worldSize, purpose, proof }
 *   accepting side → welcome { rank, worldSize, epoch, hostRank }, or refused { reason, retry } and a close
 *
 * The proof is HMAC-SHA-256, keyed with the token's UTF-8, over these bytes (little-endian):
 *
 *   byte  size  what
 *      0    15  "webccl/1 hello" and a zero byte
 *     15    32  the nonce of this connection's challenge: a recorded hello is worth nothing on another (S6)
 *     47     4  rank, 0xFFFFFFFF if none is asked for
 *     51     4  world size
 *     55     1  purpose: 0 hub, 1 link
 *     56     -  group, UTF-8
 */
import { ProtocolError } from "../errors.ts";
import type { Hello, Welcome } from "../platform.ts";
import { decodeControl, encodeControl } from "./control.ts";
import { VERSION } from "./frame.ts";
import {
  expectBytes,
  expectFields,
  expectInteger,
  expectOneOf,
  expectOptional,
  expectString,
  type Fields,
} from "./schema.ts";
import { hmacSha256 } from "./sha256.ts";

export const NONCE_BYTES = 32;
/** What a refusal says before the token is proved, whatever the fault was (S4). */
export const GENERIC_REFUSAL = "refused";
/** Longest group name, in UTF-16 units. */
export const MAX_GROUP_LENGTH = 256;
/** Most ranks of a group. */
export const MAX_WORLD_SIZE = 65_536;

const PURPOSES = ["hub", "link"] as const;
const DOMAIN = new TextEncoder().encode(`webccl/${VERSION} hello\0`);
const NO_RANK = 0xffffffff;

/** A message of the handshake. */
export type HandshakeMessage =
  | { type: "challenge"; nonce: Uint8Array }
  | { type: "hello"; hello: Hello; proof: Uint8Array | null }
  | { type: "welcome"; welcome: Welcome }
  | { type: "refused"; reason: string; retry: boolean };

/** Fresh random bytes for one connection's challenge. */
export function makeNonce(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
}

/** The proof for one connection. Pure JavaScript, so that it is the same where `crypto.subtle` is absent. */
export function prove(token: string, nonce: Uint8Array, hello: Hello): Uint8Array {
  const group = new TextEncoder().encode(hello.group);
  const at = DOMAIN.length + NONCE_BYTES;
  const message = new Uint8Array(at + 9 + group.length);
  message.set(DOMAIN);
  message.set(nonce, DOMAIN.length);
  const view = new DataView(message.buffer);
  view.setUint32(at, hello.rank ?? NO_RANK, true);
  view.setUint32(at + 4, hello.worldSize, true);
  view.setUint8(at + 8, PURPOSES.indexOf(hello.purpose));
  message.set(group, at + 9);
  return hmacSha256(new TextEncoder().encode(token), message);
}

/** Is `proof` right? Takes the same time wherever it differs. */
export function verify(token: string, nonce: Uint8Array, hello: Hello, proof: Uint8Array | null): boolean {
  const expected = prove(token, nonce, hello);
  if (proof?.length !== expected.length) return false;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) difference |= expected[i]! ^ proof[i]!;
  return difference === 0;
}

/** The bytes of one message. */
export function encodeHandshake(message: HandshakeMessage): Uint8Array {
  const { type } = message;
  switch (type) {
    case "challenge":
      return encodeControl({ type, version: VERSION, nonce: message.nonce });
    case "hello":
      return encodeControl({ type, version: VERSION, ...message.hello, proof: message.proof });
    case "welcome":
      return encodeControl({ type, ...message.welcome });
    case "refused":
      return encodeControl({ type, reason: message.reason, retry: message.retry });
  }
}

/**
 * Reads a message, which must be of one of `allowed` types.
 * @throws ProtocolError if it is not, or is malformed, or of another version of the protocol.
 */
export function decodeHandshake(bytes: Uint8Array, allowed: readonly HandshakeMessage["type"][]): HandshakeMessage {
  const fields = expectFields(decodeControl(bytes), "handshake");
  const type = expectOneOf(fields, "type", allowed);
  switch (type) {
    case "challenge":
      expectVersion(fields);
      return { type, nonce: expectBytes(fields, "nonce", NONCE_BYTES) };
    case "hello":
      expectVersion(fields);
      return {
        type,
        hello: {
          group: expectString(fields, "group", MAX_GROUP_LENGTH),
          rank: expectOptional(fields, "rank", (map, field) => expectInteger(map, field, 0, NO_RANK - 1)),
          worldSize: expectInteger(fields, "worldSize", 1, MAX_WORLD_SIZE),
          purpose: expectOneOf(fields, "purpose", PURPOSES),
        },
        proof: expectOptional(fields, "proof", (map, field) => expectBytes(map, field)),
      };
    case "welcome":
      return {
        type,
        welcome: {
          rank: expectInteger(fields, "rank", 0, MAX_WORLD_SIZE - 1),
          worldSize: expectInteger(fields, "worldSize", 1, MAX_WORLD_SIZE),
          epoch: expectInteger(fields, "epoch", 0, 0xffffffff),
          hostRank: expectOptional(fields, "hostRank", (map, field) =>
            expectInteger(map, field, 0, MAX_WORLD_SIZE - 1),
          ),
        },
      };
    case "refused":
      return { type, reason: expectString(fields, "reason", 1024), retry: fields.retry === true };
  }
}

function expectVersion(fields: Fields): void {
  const version = expectInteger(fields, "version", 0, 0xffff);
  if (version !== VERSION) {
    throw new ProtocolError(
      `the other side speaks version ${version} of the protocol, this one ${VERSION}: update the older`,
    );
  }
}

/**
 * The handshake's messages. The token itself never crosses the wire: the proof is in proof.ts.
 *
 *   accepting side → challenge { version, nonce }
 *   connecting side → hello { version, group, rank, worldSize, purpose, checksums, proof }
 *   accepting side → welcome { rank, worldSize, epoch, hostRank, checksums }, or refused { reason, retry } and a close
 */

import { ProtocolError } from "../errors.ts";
import { randomBytes } from "../support/clock.ts";
import { decodeControl, encodeControl } from "./control.ts";
import { VERSION } from "./frame.ts";
import {
  expectBoolean,
  expectBytes,
  expectFields,
  expectInteger,
  expectOneOf,
  expectOptional,
  expectString,
  type Fields,
} from "./schema.ts";

export const NONCE_BYTES = 32;
/** The reason that a refusal gives before the token is proved, whatever the fault was (S4). */
export const GENERIC_REFUSAL = "refused";
/** Longest group name, in UTF-16 units. */
const MAX_GROUP_LENGTH = 256;
/** Most ranks of a group. */
export const MAX_WORLD_SIZE = 65_536;

/**
 * Checks a group's name before it is sent, for whoever gets a wrong one may say no more than that it refuses.
 * @throws TypeError if it is no string; RangeError if it is empty, too long, or has half a character. `where` names it.
 */
export function checkGroupName(name: string, where: string): void {
  if (typeof name !== "string") throw new TypeError(`${where} must be a string, got ${typeof name}`);
  if (name === "") throw new RangeError(`${where} is empty: give the group a name, or leave it out for "default"`);
  if (name.length > MAX_GROUP_LENGTH) {
    throw new RangeError(
      `${where} has ${name.length} characters, and a group's name at most ${MAX_GROUP_LENGTH}: shorten it ("${name.slice(0, 40)}…")`,
    );
  }
  if (/\p{Surrogate}/u.test(name)) {
    throw new RangeError(`${where} is ${JSON.stringify(name)}, which is not well-formed: it has a lone surrogate`);
  }
}

export const PURPOSES = ["hub", "link", "store"] as const;
const NO_RANK = 0xffffffff;

/**
 * A connecting rank's description of itself, which its proof of the group's token covers. docs/protocol.md,
 * "Handshake".
 */
export interface Hello {
  /** Name of the group on the hub, or of the job on a direct link. */
  group: string;
  /** The rank it wants, or null for the next free one (a hub gives it). */
  rank: number | null;
  /** 0 at a hub: it joins a group that runs, and gets a seat behind all others. */
  worldSize: number;
  /** "hub" to join a hub's group, "link" to make a direct link, "store" to use a store of a hub, whose name `group` is. */
  purpose: (typeof PURPOSES)[number];
  /** Frames of this connection have checksums, both ways. */
  checksums: boolean;
}

/** The accepting side's answer. */
export interface Welcome {
  rank: number;
  worldSize: number;
  epoch: number;
  /** The rank whose process hosts the hub, or null if it stands alone or this is a direct link. */
  hostRank: number | null;
  /** The hello's, to confirm it. */
  checksums: boolean;
}

/** A message of the handshake. */
export type HandshakeMessage =
  | { type: "challenge"; nonce: Uint8Array }
  | { type: "hello"; hello: Hello; proof: Uint8Array | null }
  | { type: "welcome"; welcome: Welcome }
  | { type: "refused"; reason: string; retry: boolean };

/** Fresh random bytes for one connection's challenge. */
export function makeNonce(): Uint8Array {
  return randomBytes(NONCE_BYTES);
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
          worldSize: expectInteger(fields, "worldSize", 0, MAX_WORLD_SIZE),
          purpose: expectOneOf(fields, "purpose", PURPOSES),
          checksums: expectBoolean(fields, "checksums"),
        },
        proof: expectOptional(fields, "proof", (map, field) => expectBytes(map, field)),
      };
    case "welcome":
      return {
        type,
        welcome: {
          rank: expectInteger(fields, "rank", 0, MAX_WORLD_SIZE - 1),
          worldSize: expectInteger(fields, "worldSize", 0, MAX_WORLD_SIZE),
          epoch: expectInteger(fields, "epoch", 0, 0xffffffff),
          hostRank: expectOptional(fields, "hostRank", (map, field) =>
            expectInteger(map, field, 0, MAX_WORLD_SIZE - 1),
          ),
          checksums: expectBoolean(fields, "checksums"),
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

/**
 * The handshake's messages. Neither the token nor a ticket's key crosses the wire: each side proves that it holds them (proof.ts).
 *
 *   accepting side → challenge { version, nonce }
 *   connecting side → hello { version, group, rank, worldSize, purpose, checksums, nonce, ticket, proof }
 *   accepting side → welcome { rank, worldSize, epoch, hostRank, checksums, resume, proof }, or refused { reason, retry } and a close
 *
 * What every version must read of every other: `type` and `version` of a challenge and of a hello, all of a refusal.
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

const NONCE_BYTES = 32;
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

/** A message of the handshake. A proof is null where the sender has no token. */
export type HandshakeMessage =
  | { type: "challenge"; nonce: Uint8Array }
  /** `ticket` is the payload of the ticket by which the sender comes, or null. */
  | { type: "hello"; hello: Hello; nonce: Uint8Array; ticket: Uint8Array | null; proof: Uint8Array | null }
  /** `resume` is a ticket by which a rank that came by one may come again: its key under a mask (proof.ts), then its payload. */
  | { type: "welcome"; welcome: Welcome; resume: Uint8Array | null; proof: Uint8Array | null }
  | { type: "refused"; reason: string; retry: boolean };

/** The other side speaks another version of the protocol. Its message is for both. */
export class VersionError extends ProtocolError {}

/** Fresh random bytes for one end of one connection. */
export function makeNonce(): Uint8Array {
  return randomBytes(NONCE_BYTES);
}

/** The bytes of what a connecting side says. */
export function encodeHello({ type, hello, ...proof }: Extract<HandshakeMessage, { type: "hello" }>): Uint8Array {
  return encodeControl({ type, version: VERSION, ...hello, ...proof });
}

/** The bytes of one message. */
export function encodeHandshake(message: HandshakeMessage): Uint8Array {
  const { type } = message;
  switch (type) {
    case "challenge":
      return encodeControl({ type, version: VERSION, nonce: message.nonce });
    case "hello":
      return encodeHello(message);
    case "welcome":
      return encodeControl({ type, ...message.welcome, resume: message.resume, proof: message.proof });
    case "refused":
      return encodeControl({ type, reason: message.reason, retry: message.retry });
  }
}

/**
 * Reads a message, which must be of one of `allowed` types.
 * @throws ProtocolError if it is not, or is malformed; VersionError if it is of another version of the protocol.
 */
export function decodeHandshake(bytes: Uint8Array, allowed: readonly HandshakeMessage["type"][]): HandshakeMessage {
  const fields = fieldsOf(bytes);
  return expectOneOf(fields, "type", allowed) === "hello" ? helloOf(fields) : answerOf(fields, allowed);
}

/** {@link decodeHandshake} of what an accepting side says. */
export function decodeAnswer(bytes: Uint8Array, allowed: readonly HandshakeMessage["type"][]): HandshakeMessage {
  return answerOf(fieldsOf(bytes), allowed);
}

const fieldsOf = (bytes: Uint8Array): Fields => expectFields(decodeControl(bytes), "handshake");

function helloOf(fields: Fields): HandshakeMessage {
  checkVersions(versionOf(fields), VERSION);
  return {
    type: "hello",
    hello: {
      group: expectString(fields, "group", MAX_GROUP_LENGTH),
      rank: expectOptional(fields, "rank", (map, field) => expectInteger(map, field, 0, NO_RANK - 1)),
      worldSize: expectInteger(fields, "worldSize", 0, MAX_WORLD_SIZE),
      purpose: expectOneOf(fields, "purpose", PURPOSES),
      checksums: expectBoolean(fields, "checksums"),
    },
    nonce: expectBytes(fields, "nonce", NONCE_BYTES),
    ticket: expectOptional(fields, "ticket", anyBytes),
    proof: expectOptional(fields, "proof", anyBytes),
  };
}

function answerOf(fields: Fields, allowed: readonly HandshakeMessage["type"][]): HandshakeMessage {
  const type = expectOneOf(fields, "type", allowed);
  if (type === "challenge") {
    checkVersions(VERSION, versionOf(fields));
    return { type, nonce: expectBytes(fields, "nonce", NONCE_BYTES) };
  }
  if (type === "refused") return { type, reason: expectString(fields, "reason", 1024), retry: fields.retry === true };
  const rankOf = (map: Fields, field: string) => expectInteger(map, field, 0, MAX_WORLD_SIZE - 1);
  return {
    type: "welcome",
    welcome: {
      rank: rankOf(fields, "rank"),
      worldSize: expectInteger(fields, "worldSize", 0, MAX_WORLD_SIZE),
      epoch: expectInteger(fields, "epoch", 0, 0xffffffff),
      hostRank: expectOptional(fields, "hostRank", rankOf),
      checksums: expectBoolean(fields, "checksums"),
    },
    resume: expectOptional(fields, "resume", anyBytes),
    proof: expectOptional(fields, "proof", anyBytes),
  };
}

const anyBytes = (fields: Fields, field: string): Uint8Array => expectBytes(fields, field);

const versionOf = (fields: Fields): number => expectInteger(fields, "version", 0, 0xffff);

function checkVersions(rank: number, hub: number): void {
  if (rank === hub) return;
  const remedy =
    rank < hub ? "the rank is the older: update its webccl (reload a page)" : "the hub is the older: update its webccl";
  throw new VersionError(`this rank speaks version ${rank} of the protocol, and the hub ${hub}: ${remedy}`);
}

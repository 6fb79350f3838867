/**
 * The bytes over which both ends of a connection prove, by HMAC-SHA-256, that they hold one key: the group's token in UTF-8, or
 * the key of a ticket. Numbers are little-endian and of 4 bytes; 0xFFFFFFFF stands for none.
 *
 *   hello    "webccl/7 hello" 0 · the nonce of the challenge, 32 · the nonce of the hello, 32 · rank · world size ·
 *            purpose: 0 hub, 1 link, 2 store · 1 if frames have checksums, else 0 · group, UTF-8
 *   welcome  "webccl/7 welcome" 0 · both nonces · rank · world size · epoch · rank of the host · checksums · the resume, if there
 *            is one
 *   mask     "webccl/7 resume" 0 · both nonces: what comes out hides the resume's key from those who listen
 *
 * Both nonces are of this connection alone: a recorded message is worth nothing on another (S6).
 */
import { VERSION } from "../frame.ts";
import { type Hello, PURPOSES, type Welcome } from "../handshake.ts";

const encoder = new TextEncoder();
const NONE = 0xffffffff;

/** The nonces of the two ends of one connection. */
export interface Nonces {
  /** Of the challenge. */
  readonly challenge: Uint8Array;
  /** Of the hello. */
  readonly hello: Uint8Array;
}

/** What the connecting side proves its key over. */
export function helloBytes(nonces: Nonces, { rank, worldSize, purpose, checksums, group }: Hello): Uint8Array {
  const numbers = [rank ?? NONE, worldSize, PURPOSES.indexOf(purpose), checksums ? 1 : 0];
  return join("hello", nonces, numbers, encoder.encode(group));
}

/** What the accepting side proves its key over. */
export function welcomeBytes(nonces: Nonces, welcome: Welcome, resume: Uint8Array | null): Uint8Array {
  const { rank, worldSize, epoch, hostRank, checksums } = welcome;
  const numbers = [rank, worldSize, epoch, hostRank ?? NONE, checksums ? 1 : 0];
  return join("welcome", nonces, numbers, resume ?? new Uint8Array(0));
}

/** What the mask of a resume's key is made from. */
export function maskBytes(nonces: Nonces): Uint8Array {
  return join("resume", nonces, []);
}

function join(kind: string, { challenge, hello }: Nonces, numbers: number[], ...rest: Uint8Array[]): Uint8Array {
  const words = new DataView(new ArrayBuffer(4 * numbers.length));
  for (const [i, number] of numbers.entries()) words.setUint32(4 * i, number, true);
  const parts = [
    ...[encoder.encode(`webccl/${VERSION} ${kind}\0`), challenge, hello, new Uint8Array(words.buffer), ...rest],
  ];
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

/** The key under its mask, or out of it. */
export function masked(key: Uint8Array, mask: Uint8Array): Uint8Array {
  return key.map((byte, i) => byte ^ (mask[i] ?? 0));
}

/** Are two proofs equal? Takes the same time wherever they differ. */
export function isEqual(expected: Uint8Array, proof: Uint8Array | null): boolean {
  if (proof?.length !== expected.length) return false;
  return expected.reduce((difference, byte, i) => difference | (byte ^ (proof[i] ?? 0)), 0) === 0;
}

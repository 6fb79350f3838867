/**
 * The proof that a rank holds the group's token. This module is loaded only where there is a token.
 *
 * The proof is HMAC-SHA-256, keyed with the token's UTF-8, over these bytes (little-endian):
 *
 *   byte  size  what
 *      0    15  "webccl/6 hello" and a zero byte
 *     15    32  the nonce of this connection's challenge: a recorded hello is worth nothing on another (S6)
 *     47     4  rank, 0xFFFFFFFF if none is asked for
 *     51     4  world size
 *     55     1  purpose: 0 hub, 1 link, 2 store
 *     56     1  1 if frames have checksums, else 0
 *     57     -  group, UTF-8
 */
import { VERSION } from "./frame.ts";
import { type Hello, NONCE_BYTES, PURPOSES } from "./handshake.ts";
import { hmacSha256 } from "./hash.ts";

const DOMAIN = new TextEncoder().encode(`webccl/${VERSION} hello\0`);
const NO_RANK = 0xffffffff;

/** The proof for one connection. */
export function prove(token: string, nonce: Uint8Array, hello: Hello): Promise<Uint8Array> {
  const group = new TextEncoder().encode(hello.group);
  const at = DOMAIN.length + NONCE_BYTES;
  const message = new Uint8Array(at + 10 + group.length);
  message.set(DOMAIN);
  message.set(nonce, DOMAIN.length);
  const view = new DataView(message.buffer);
  view.setUint32(at, hello.rank ?? NO_RANK, true);
  view.setUint32(at + 4, hello.worldSize, true);
  view.setUint8(at + 8, PURPOSES.indexOf(hello.purpose));
  view.setUint8(at + 9, hello.checksums ? 1 : 0);
  message.set(group, at + 10);
  return hmacSha256(new TextEncoder().encode(token), message);
}

/** Is `proof` right? Takes the same time wherever it differs. */
export async function verify(
  token: string,
  nonce: Uint8Array,
  hello: Hello,
  proof: Uint8Array | null,
): Promise<boolean> {
  const expected = await prove(token, nonce, hello);
  if (proof?.length !== expected.length) return false;
  return expected.reduce((difference, byte, i) => difference | (byte ^ proof[i]!), 0) === 0;
}

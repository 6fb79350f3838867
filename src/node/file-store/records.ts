/**
 * Records: the bytes of a FileStore's file. It begins with {@link MAGIC}; then come
 *
 *   byte  size  record, little-endian
 *      0     1  1 set · 2 append · 3 push · 4 pop
 *      1     4  bytes of the key
 *      5     4  bytes of the value
 *      9     4  hash of these nine bytes
 *     13     4  hash of key and value
 *     17     -  key (UTF-8), value
 *
 * The hashes (FNV-1a, 32 bits) tell a record that a crash left incomplete from a file that something else has changed.
 */
import { decodeUtf8 } from "../../support/utf8.ts";

export const Kind = { SET: 1, APPEND: 2, PUSH: 3, POP: 4 } as const;
export const MAGIC: Uint8Array = new TextEncoder().encode("webccl FileStore 2\n");
const HEAD_BYTES = 17;
const CHECKED_BYTES = 9;

/** A record that was read. */
export interface FileRecord {
  readonly kind: number;
  readonly key: string;
  readonly value: Uint8Array;
}

/** The file is not as a FileStore writes it; the message says where. */
export class CorruptFile extends Error {}

export function encodeRecord(kind: number, key: string, value: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(key);
  const record = new Uint8Array(HEAD_BYTES + name.length + value.length);
  const view = new DataView(record.buffer);
  view.setUint8(0, kind);
  view.setUint32(1, name.length, true);
  view.setUint32(5, value.length, true);
  record.set(name, HEAD_BYTES);
  record.set(value, HEAD_BYTES + name.length);
  view.setUint32(9, hashOf(record.subarray(0, CHECKED_BYTES)), true);
  view.setUint32(13, hashOf(record.subarray(HEAD_BYTES)), true);
  return record;
}

/**
 * Hands each complete record of `bytes` to `apply`, and returns the bytes that they take.
 * @throws CorruptFile if something else stands there. `position` is where in the file the bytes are.
 */
export function readRecords(bytes: Uint8Array, position: number, apply: (record: FileRecord) => void): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + HEAD_BYTES <= bytes.length) {
    const kind = view.getUint8(at);
    const headIsRight = view.getUint32(at + 9, true) === hashOf(bytes.subarray(at, at + CHECKED_BYTES));
    if (!headIsRight || kind < Kind.SET || kind > Kind.POP) {
      throw new CorruptFile(`the bytes at ${position + at} are no record`);
    }
    const keyAt = at + HEAD_BYTES;
    const valueAt = keyAt + view.getUint32(at + 1, true);
    const end = valueAt + view.getUint32(at + 5, true);
    if (end > bytes.length) break;
    if (view.getUint32(at + 13, true) !== hashOf(bytes.subarray(keyAt, end))) {
      throw new CorruptFile(`the record at ${position + at} has been changed`);
    }
    apply({ kind, key: decodeUtf8(bytes.subarray(keyAt, valueAt)), value: bytes.subarray(valueAt, end) });
    at = end;
  }
  return at;
}

/** Does a file begin so that it may be a FileStore's? A crash may have left the beginning of the beginning. */
export function mayBegin(bytes: Uint8Array): boolean {
  return bytes.subarray(0, MAGIC.length).every((byte, i) => byte === MAGIC[i]);
}

function hashOf(bytes: Uint8Array): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) value = Math.imul(value ^ bytes[i]!, 0x01000193);
  return value >>> 0;
}

/**
 * Queries: the bytes of PyTorch's TCPStore, in both dialects that its clients and servers have spoken.
 *
 *   2.x  begins with validate (00 and 4 bytes of magic) and, since 2.2, a ping; the numbers of OPS below
 *   1.x  has neither, nor a cancel, lists of values, queues; set to num_keys have one number less, delete the same
 *
 * A query is one byte of number and its fields, without a length of the whole. Integers are little-endian; a string is a u64
 * length and its bytes, a list a u64 count and its strings. A reply has no number: whoever asks knows its form. Source:
 * PyTorch's TCPStoreBackend.hpp, TCPStore.cpp and TCPStoreLibUvBackend.cpp, and test/store/vectors/tcpstore.json, recorded
 * from 1.13 and 2.15.
 */

/** The number of a query in the 2.x dialect. */
export const Op = {
  VALIDATE: 0x00,
  SET: 0x01,
  COMPARE_SET: 0x02,
  GET: 0x03,
  ADD: 0x04,
  CHECK: 0x05,
  WAIT: 0x06,
  NUM_KEYS: 0x07,
  DELETE: 0x08,
  APPEND: 0x09,
  MULTI_GET: 0x0a,
  MULTI_SET: 0x0b,
  CANCEL_WAIT: 0x0c,
  PING: 0x0d,
  QUEUE_PUSH: 0x0e,
  QUEUE_POP: 0x0f,
  QUEUE_LEN: 0x10,
  LIST_KEYS: 0x11,
  BARRIER: 0x12,
} as const;

export type Op = (typeof Op)[keyof typeof Op];

/** The dialects, by the versions of PyTorch that speak them. */
export type Dialect = "2.x" | "1.x";

/** The fields of a query. */
export interface Form {
  /** Strings at the beginning; for a list, those of each item. */
  readonly strings: number;
  /** A count stands before the strings. */
  readonly isList: boolean;
  /** Bytes of the integer at the end. */
  readonly integerBytes: 0 | 4 | 8;
}

const form = (strings: number, integerBytes: 0 | 4 | 8 = 0, isList = false): Form => ({
  strings,
  isList,
  integerBytes,
});

/** By number. */
export const FORMS: readonly Form[] = [
  form(0, 4), // validate: magic
  form(2), // set: key, value
  form(3), // compare_set: key, expected, desired
  form(1), // get: key
  form(1, 8), // add: key, amount
  form(1, 0, true), // check: keys
  form(1, 0, true), // wait: keys
  form(0), // num_keys
  form(1), // delete: key
  form(2), // append: key, value
  form(1, 0, true), // multi_get: keys
  form(2, 0, true), // multi_set: keys with values
  form(0), // cancel_wait
  form(0, 4), // ping: any number, which the reply repeats
  form(2), // queue_push: key, value
  form(1), // queue_pop: key
  form(1), // queue_len: key
  form(0), // list_keys
  form(1, 8), // barrier: key, number of members
];

/** The numbers that the 1.x dialect has, from 0; 07 watched a key there, which no client did. */
const OPS_OF_1X: readonly (Op | null)[] = [
  ...[Op.SET, Op.COMPARE_SET, Op.GET, Op.ADD, Op.CHECK, Op.WAIT, Op.NUM_KEYS, null, Op.DELETE],
];

/** The query of which a byte is the number, or null. */
export function opOf(byte: number, dialect: Dialect): Op | null {
  if (dialect === "1.x") return OPS_OF_1X[byte] ?? null;
  return byte < FORMS.length ? (byte as Op) : null;
}

/** What validate says. */
export const MAGIC = 0x3c85f7ce;
/** The first bytes of whoever speaks 2.x. */
export const VALIDATE_BYTES: Uint8Array = Uint8Array.of(Op.VALIDATE, 0xce, 0xf7, 0x85, 0x3c);

/** The key that counts the clients that joined; it alone has no "/" before it. */
export const JOINED_KEY = "init/";

/** A wait's replies. */
export const STOP_WAITING = 0;
export const WAIT_CANCELED = 1;
/** A check's replies. */
export const READY = 0;
export const NOT_READY = 1;

/** Longest key, in bytes. */
export const MAX_KEY_BYTES = 65_536;
/** Longest value, in bytes, and the most of one query and of one reply. */
export const MAX_VALUE_BYTES: number = 64 * 2 ** 20;
/** Most strings of a list. */
export const MAX_STRINGS = 262_144;

/** The bytes of one query. */
export function encodeQuery(
  op: Op,
  dialect: Dialect,
  strings: readonly Uint8Array[],
  integer: bigint | number = 0,
): Buffer {
  const { isList, strings: each, integerBytes } = FORMS[op]!;
  const bytes = strings.reduce((sum, { length }) => sum + 8 + length, 1 + (isList ? 8 : 0) + integerBytes);
  const query = Buffer.allocUnsafe(bytes);
  let at = query.writeUInt8(dialect === "1.x" ? OPS_OF_1X.indexOf(op) : op);
  if (isList) at = writeLength(query, strings.length / each, at);
  for (const string of strings) {
    at = writeLength(query, string.length, at);
    query.set(string, at);
    at += string.length;
  }
  if (integerBytes === 4) query.writeUInt32LE(Number(integer), at);
  if (integerBytes === 8) query.writeBigInt64LE(BigInt(integer), at);
  return query;
}

/** Writes a length or a count, which fits 48 bits here, as a u64. Returns where it ends. */
export function writeLength(buffer: Buffer, length: number, at: number): number {
  buffer.writeUIntLE(length, at, 6);
  return buffer.writeUInt16LE(0, at + 6);
}

/** A string as it stands in a reply. */
export function encodeString(bytes: Uint8Array): Buffer {
  const string = Buffer.allocUnsafe(8 + bytes.length);
  writeLength(string, bytes.length, 0);
  string.set(bytes, 8);
  return string;
}

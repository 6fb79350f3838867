/** SHA-256 of results, to compare ranks, processes and algorithms by one line of text. */
import { sha256 } from "../wire/sha256.ts";

/** The bytes behind a typed array. */
export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** The platform's own takes as long to call as ours to digest this. */
const SHORT_BYTES = 1024;

/** SHA-256 over the arrays' bytes, one after the other, in hexadecimal. */
export async function digest(arrays: readonly ArrayBufferView[]): Promise<string> {
  const bytes = new Uint8Array(arrays.reduce((length, array) => length + array.byteLength, 0));
  let offset = 0;
  for (const array of arrays) {
    bytes.set(bytesOf(array), offset);
    offset += array.byteLength;
  }
  // The platform's own is many times faster on long input, and absent from pages that are no secure context.
  const subtle = bytes.length > SHORT_BYTES ? globalThis.crypto?.subtle : undefined;
  const hash = subtle ? new Uint8Array(await subtle.digest("SHA-256", bytes)) : sha256(bytes);
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** SHA-256 of results, to compare ranks, processes and algorithms by one line of text. */
import { sha256 } from "../wire/hash.ts";

/** The bytes behind a typed array. */
export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** SHA-256 over the arrays' bytes, one after the other, in hexadecimal. */
export async function digest(arrays: readonly ArrayBufferView[]): Promise<string> {
  const bytes = new Uint8Array(arrays.reduce((length, array) => length + array.byteLength, 0));
  let offset = 0;
  for (const array of arrays) {
    bytes.set(bytesOf(array), offset);
    offset += array.byteLength;
  }
  return Array.from(await sha256(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

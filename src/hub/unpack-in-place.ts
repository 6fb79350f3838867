/** Decodes MessagePack without copying: for a receiver that has done with a message before its memory is used again. */
import { Unpackr } from "../packages/msgpackr.ts";
// It registers the extensions.
import "../wire/packed.ts";

const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true });

/** The value of scanned bytes. The bytes in it are views of `bytes`. */
export function unpackInPlace(bytes: Uint8Array): unknown {
  // A view of its own, as in `wire/packed.ts`.
  return unpackr.unpack(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}

/**
 * Values as MessagePack, by msgpackr (https://github.com/msgpack/msgpack/blob/master/spec.md). It is given exact-form.ts's
 * form of a value alone, and bytes alone that scan.ts has let pass: of anything else it would make something similar.
 */
import { addExtension, Packr, RESET_BUFFER_MODE, Unpackr } from "../packages/msgpackr.ts";
import { Extension } from "./scan.ts";

/** Stands for a string that needs the extension TEXT. */
export class Text {
  readonly value: string;

  constructor(value: string) {
    this.value = value;
  }
}

/** Stands for -0. */
export class NegativeZero {}

/** Would a decoder of UTF-8 give another string, or msgpackr another key? */
export function needsText(value: string): boolean {
  return value.charCodeAt(0) === 0xfeff || !value.isWellFormed();
}

addExtension({
  Class: Text,
  type: Extension.TEXT,
  pack: ({ value }: Text) => {
    const units = new Uint16Array(value.length);
    for (let i = 0; i < value.length; i++) units[i] = value.charCodeAt(i);
    return new Uint8Array(units.buffer);
  },
  unpack: (bytes: Uint8Array) => {
    // Copied, because units begin at even addresses.
    const units = new Uint16Array(bytes.slice().buffer);
    let value = "";
    for (let i = 0; i < units.length; i += UNITS_AT_ONCE) {
      value += String.fromCharCode(...units.subarray(i, i + UNITS_AT_ONCE));
    }
    if (!needsText(value)) throw new TypeError("a string is an extension that need not be one");
    return value;
  },
});

/** A call takes so many arguments in every engine. */
const UNITS_AT_ONCE = 8_192;

addExtension({
  Class: NegativeZero,
  type: Extension.NEGATIVE_ZERO,
  pack: () => new Uint8Array(1),
  unpack: () => -0,
});

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, copyBuffers: true });

/** The packer's buffer grows with the largest value. One that is larger than this goes with the value. */
const KEPT_BUFFER_BYTES = 2 ** 20;

/** The bytes of a value's exact form, in memory of their own. */
export function pack(form: unknown): Uint8Array {
  const packed = packr.pack(form, RESET_BUFFER_MODE);
  // The next call writes over them.
  if (packed.buffer.byteLength <= KEPT_BUFFER_BYTES) return new Uint8Array(packed);
  packr.useBuffer(packed.subarray(0, 0));
  packr.pack(null);
  return new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength);
}

/** The value of scanned bytes. */
export function unpack(bytes: Uint8Array): unknown {
  // Browsers decode no text from memory that threads share; and a view of its own, for the decoder leaves a mark on it, and
  // makes Buffers of a Buffer.
  const { buffer, byteOffset, byteLength } = bytes;
  return unpackr.unpack(
    buffer instanceof ArrayBuffer ? new Uint8Array(buffer, byteOffset, byteLength) : Uint8Array.from(bytes),
  );
}

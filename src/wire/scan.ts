/**
 * The scan: bytes from outside are looked through before the decoder sees one of them (S11), so that the decoder meets no
 * type it does not know, no length past the end, and no nesting that exhausts a stack.
 */

/** How large a value may be. */
export interface Limits {
  /** Deepest nesting of arrays and maps. */
  readonly depth: number;
  /** Most values, map keys and containers counted. */
  readonly items: number;
}

/**
 * Most UTF-16 units of a string. In UTF-8 they are at most three times as many bytes, of which every engine can make a
 * string: V8's limit is 2^29 - 24.
 */
export const MAX_STRING_LENGTH = 2 ** 27;
/** The same of a string's bytes. */
const MAX_STRING_BYTES = 3 * MAX_STRING_LENGTH;

/** Extension types. Each is one value that MessagePack's own types cannot hold; packed.ts reads and writes them. */
export const Extension = {
  UNDEFINED: 0,
  /** A string in UTF-16, for one that UTF-8 cannot hold or a decoder would not keep. */
  TEXT: 1,
  NEGATIVE_ZERO: 2,
} as const;

/** The form of a value, as its first byte tells it. */
interface Form {
  /** Bytes of the length that stands behind the first byte; 0 where the first byte tells it. */
  readonly lengthBytes: number;
  /** The length, where the first byte tells it. */
  readonly length: number;
  readonly holds: "bytes" | "string" | "extension" | "array" | "map";
}

/** From first byte 0xc0 to 0xdf: bytes of the number that follows, or of the length. -1: the byte that is never used. */
const WIDTHS = [0, -1, 0, 0, 1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 16, 1, 2, 4, 2, 4, 2, 4];

/** By first byte; null where it is not allowed. */
const FORMS = Array.from({ length: 256 }, (_, type): Form | null => {
  if (type <= 0x7f || type >= 0xe0) return { lengthBytes: 0, length: 0, holds: "bytes" };
  if (type <= 0x8f) return { lengthBytes: 0, length: type & 0x0f, holds: "map" };
  if (type <= 0x9f) return { lengthBytes: 0, length: type & 0x0f, holds: "array" };
  if (type <= 0xbf) return { lengthBytes: 0, length: type & 0x1f, holds: "string" };
  const width = WIDTHS[type - 0xc0] ?? -1;
  if (width < 0) return null;
  if (type >= 0xde) return { lengthBytes: width, length: 0, holds: "map" };
  if (type >= 0xdc) return { lengthBytes: width, length: 0, holds: "array" };
  if (type >= 0xd9) return { lengthBytes: width, length: 0, holds: "string" };
  if (type >= 0xd4) return { lengthBytes: 0, length: width, holds: "extension" };
  if (type >= 0xca) return { lengthBytes: 0, length: width, holds: "bytes" };
  if (type >= 0xc7) return { lengthBytes: width, length: 0, holds: "extension" };
  return { lengthBytes: type >= 0xc4 ? width : 0, length: 0, holds: "bytes" };
});

/** An array or a map whose values are not all read, or the message itself around its one value. */
interface Container {
  /** Values still to come. In a map an even number is left before a key, an odd one before a value. */
  left: number;
  readonly isMap: boolean;
  readonly depth: number;
  readonly outer: Container | null;
}

/** Why the bytes must not reach the decoder, or null. One pass, no recursion, no allocation whose size the bytes decide. */
export function scan(bytes: Uint8Array, limits: Limits): string | null {
  const end = bytes.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, end);
  let open: Container | null = { left: 1, isMap: false, depth: 0, outer: null };
  let items = 0;
  let at = 0;

  while (open) {
    if (open.left === 0) {
      open = open.outer;
      continue;
    }
    const isKey = open.isMap && open.left % 2 === 0;
    open.left--;
    if (++items > limits.items) return `more than ${limits.items} items`;
    if (at >= end) return "it ends in the middle of a value";

    const type = view.getUint8(at++);
    const form = FORMS[type];
    if (!form) return `the byte 0x${type.toString(16)} begins no value`;
    const { lengthBytes, holds } = form;
    if (at + lengthBytes > end) return "it ends in the middle of a length";
    const length = lengthBytes === 0 ? form.length : lengthAt(view, at, lengthBytes);
    at += lengthBytes;
    if (holds !== "array" && holds !== "map") {
      const leaf: string | number = leafEnd(view, at, length, holds, isKey);
      if (typeof leaf === "string") return leaf;
      at = leaf;
      continue;
    }
    if (isKey) return "a map key is not a string";
    // A value has at least one byte, so there cannot be more of them than bytes.
    const values = length * (holds === "map" ? 2 : 1);
    if (values > end - at) return "a length runs past the end";
    if (open.depth >= limits.depth) return `nested deeper than ${limits.depth}`;
    open = { left: values, isMap: holds === "map", depth: open.depth + 1, outer: open };
  }
  return at === end ? null : `${end - at} bytes follow the value`;
}

/** Where a value ends whose `length` bytes begin at `at`; or why it must not reach the decoder. */
function leafEnd(view: DataView, at: number, length: number, holds: Form["holds"], isKey: boolean): number | string {
  if (holds === "extension") return extensionEnd(view, at, length, isKey);
  if (length > view.byteLength - at) return "a length runs past the end";
  if (holds === "string") {
    const fault = stringFault(view, at, length, isKey);
    if (fault) return fault;
  } else if (isKey) return "a map key is not a string";
  return at + length;
}

/** The type stands in front of the `length` bytes. */
function extensionEnd(view: DataView, at: number, length: number, isKey: boolean): number | string {
  if (length + 1 > view.byteLength - at) return "an extension's length runs past the end";
  const type = view.getInt8(at);
  const isText = type === Extension.TEXT && length > 0 && length % 2 === 0;
  const isConstant =
    (type === Extension.UNDEFINED || type === Extension.NEGATIVE_ZERO) && length === 1 && view.getUint8(at + 1) === 0;
  if (!isText && !isConstant) return `it has an extension that is not allowed, of type ${type} and ${length} bytes`;
  if (isKey && !isText) return "a map key is not a string";
  return length > MAX_STRING_BYTES ? `a string is longer than ${MAX_STRING_BYTES} bytes` : at + 1 + length;
}

function stringFault(view: DataView, at: number, length: number, isKey: boolean): string | null {
  if (length > MAX_STRING_BYTES) return `a string is longer than ${MAX_STRING_BYTES} bytes`;
  // The decoder would lose it.
  if (length >= 3 && view.getUint16(at) === 0xefbb && view.getUint8(at + 2) === 0xbf) {
    return "a string begins with U+FEFF and is not an extension";
  }
  // S12: the decoder would rename it.
  return isKey && length === PROTO.length && PROTO.every((byte, i) => view.getUint8(at + i) === byte)
    ? "a map has the key __proto__"
    : null;
}

const PROTO = Array.from("__proto__", (letter) => letter.charCodeAt(0));

function lengthAt(view: DataView, at: number, lengthBytes: number): number {
  if (lengthBytes === 1) return view.getUint8(at);
  return lengthBytes === 2 ? view.getUint16(at) : view.getUint32(at);
}

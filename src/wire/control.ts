/**
 * Control messages: small values in MessagePack. Bytes from outside are scanned before the decoder sees one of them
 * (S11), so that the decoder meets no type it does not know, no length past the end, and no nesting that exhausts a
 * stack.
 */
import { ProtocolError } from "../errors.ts";
import { decodeValue, encodeValue } from "./control-codec.ts";

/** How large a value may be. */
export interface Limits {
  /** Deepest nesting of arrays and maps. */
  readonly depth: number;
  /** Most values, map keys and containers counted. */
  readonly items: number;
}

/** Of control messages, before and after authentication. */
export const CONTROL_LIMITS: Limits = { depth: 16, items: 10_000 };
/** Of the values that ranks exchange by the object collectives. */
export const OBJECT_LIMITS: Limits = { depth: 128, items: 2 ** 24 };

/**
 * `value` in MessagePack: null, booleans, numbers, strings, Uint8Array, arrays and plain objects of these. `undefined`
 * becomes null, and -0 becomes 0.
 * @throws TypeError if it holds something else, or is nested deeper or has more items than a receiver takes.
 */
export function encodeControl(value: unknown, limits = CONTROL_LIMITS): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = encodeValue(value, limits.depth);
  } catch (cause) {
    throw new TypeError(`this value cannot be sent: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  const fault = scan(bytes, limits);
  if (fault) throw new TypeError(`this value cannot be sent: ${fault}`);
  return bytes;
}

/**
 * The value that `bytes` hold. Maps become plain objects, on which a key such as `__proto__` sets no prototype.
 * @throws ProtocolError if the bytes are not exactly one value, or hold a type that {@link encodeControl} never writes.
 */
export function decodeControl(bytes: Uint8Array, limits = CONTROL_LIMITS): unknown {
  const fault = scan(bytes, limits);
  if (fault) throw new ProtocolError(`a control message was refused: ${fault}`);
  return decodeValue(bytes.buffer instanceof ArrayBuffer ? bytes : Uint8Array.from(bytes));
}

/** The form of a value, as its first byte tells it. */
interface Form {
  /** Bytes of the length that stands behind the first byte; 0 where the first byte tells it. */
  readonly lengthBytes: number;
  /** The length, where the first byte tells it. */
  readonly length: number;
  /** Values for which one of the length stands: 1 in an array, 2 in a map. 0: the length counts bytes. */
  readonly valuesEach: number;
  readonly isString: boolean;
}

/** From first byte 0xc0 to 0xdf: bytes of the number that follows, or of the length. -1: not allowed, an extension type. */
const WIDTHS = [
  0, -1, 0, 0, 1, 2, 4, -1, -1, -1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, -1, -1, -1, -1, -1, 1, 2, 4, 2, 4, 2, 4,
];

/** By first byte; null where it is not allowed. */
const FORMS = Array.from({ length: 256 }, (_, type): Form | null => {
  const form = (lengthBytes: number, length: number, valuesEach = 0, isString = false) => {
    return { lengthBytes, length, valuesEach, isString };
  };
  if (type <= 0x7f || type >= 0xe0) return form(0, 0);
  if (type <= 0x8f) return form(0, type & 0x0f, 2);
  if (type <= 0x9f) return form(0, type & 0x0f, 1);
  if (type <= 0xbf) return form(0, type & 0x1f, 0, true);
  const width = WIDTHS[type - 0xc0] ?? -1;
  if (width < 0) return null;
  if (type >= 0xdc) return form(width, 0, type >= 0xde ? 2 : 1);
  return type >= 0xd9 || (type >= 0xc4 && type <= 0xc6) ? form(width, 0, 0, type >= 0xd9) : form(0, width);
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
function scan(bytes: Uint8Array, limits: Limits): string | null {
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
    if (!form) return `extension types are not allowed (0x${type.toString(16)})`;
    const { lengthBytes, valuesEach, isString } = form;
    if (at + lengthBytes > end) return "it ends in the middle of a length";
    const length = lengthBytes === 0 ? form.length : lengthAt(view, at, lengthBytes);
    at += lengthBytes;
    if (isKey && !isString) return "a map key is not a string";
    // A value has at least one byte, so there cannot be more of them than bytes.
    const atLeastBytes = length * (valuesEach || 1);
    if (atLeastBytes > end - at) return "a length runs past the end";
    if (valuesEach === 0) {
      at += length;
      continue;
    }
    if (open.depth >= limits.depth) return `nested deeper than ${limits.depth}`;
    open = { left: atLeastBytes, isMap: valuesEach === 2, depth: open.depth + 1, outer: open };
  }
  return at === end ? null : `${end - at} bytes follow the value`;
}

function lengthAt(view: DataView, at: number, lengthBytes: number): number {
  if (lengthBytes === 1) return view.getUint8(at);
  return lengthBytes === 2 ? view.getUint16(at) : view.getUint32(at);
}

/**
 * Control messages: small values in MessagePack. What came from outside is scanned before the decoder sees a byte of it
 * (S11), so that the decoder meets no type it does not know, no length past the end, and no nesting that exhausts a stack.
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
 * @throws ProtocolError if the bytes are not exactly one value, or hold what {@link encodeControl} never makes.
 */
export function decodeControl(bytes: Uint8Array, limits = CONTROL_LIMITS): unknown {
  const fault = scan(bytes, limits);
  if (fault) throw new ProtocolError(`a control message was refused: ${fault}`);
  return decodeValue(bytes.buffer instanceof ArrayBuffer ? bytes : Uint8Array.from(bytes));
}

/** Bytes of the length behind bin 8/16/32, str 8/16/32, array 16/32 and map 16/32. */
const LENGTH_BYTES = new Map([
  [0xc4, 1],
  [0xc5, 2],
  [0xc6, 4],
  [0xd9, 1],
  [0xda, 2],
  [0xdb, 4],
  [0xdc, 2],
  [0xdd, 4],
  [0xde, 2],
  [0xdf, 4],
]);

/** Why the bytes must not reach the decoder, or null. One pass, no recursion, no allocation that the bytes could size. */
function scan(bytes: Uint8Array, limits: Limits): string | null {
  const end = bytes.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, end);
  // pending[d]: values still to come at depth d. In a map an even number is left before a key, an odd one before a value.
  const pending = [1];
  const inMap = [false];
  let items = 0;
  let at = 0;

  while (pending.length > 0) {
    const depth = pending.length - 1;
    if (pending[depth] === 0) {
      pending.pop();
      inMap.pop();
      continue;
    }
    const isKey = inMap[depth]! && pending[depth]! % 2 === 0;
    pending[depth]!--;
    if (++items > limits.items) return `more than ${limits.items} items`;
    if (at >= end) return "it ends in the middle of a value";

    const type = bytes[at++]!;
    let skip = 0;
    let children = -1;
    let map = false;
    let isString = false;
    if (type <= 0x7f || type >= 0xe0 || type === 0xc0 || type === 0xc2 || type === 0xc3) {
      // fixint, nil, false, true: the byte itself
    } else if (type <= 0x8f) {
      children = (type & 0x0f) * 2;
      map = true;
    } else if (type <= 0x9f) {
      children = type & 0x0f;
    } else if (type <= 0xbf) {
      skip = type & 0x1f;
      isString = true;
    } else if (type === 0xca || type === 0xce || type === 0xd2) {
      skip = 4;
    } else if (type === 0xcb || type === 0xcf || type === 0xd3) {
      skip = 8;
    } else if (type === 0xcc || type === 0xd0) {
      skip = 1;
    } else if (type === 0xcd || type === 0xd1) {
      skip = 2;
    } else if (type === 0xc1 || (type >= 0xc7 && type <= 0xc9) || (type >= 0xd4 && type <= 0xd8)) {
      return `extension types are not allowed (0x${type.toString(16)})`;
    } else {
      const width = LENGTH_BYTES.get(type)!;
      if (at + width > end) return "it ends in the middle of a length";
      const length = width === 1 ? bytes[at]! : width === 2 ? view.getUint16(at) : view.getUint32(at);
      at += width;
      if (type >= 0xdc) {
        map = type >= 0xde;
        children = map ? length * 2 : length;
      } else {
        skip = length;
        isString = type >= 0xd9;
      }
    }
    if (isKey && !isString) return "a map key is not a string";
    if (skip > end - at) return "a length runs past the end";
    at += skip;
    if (children >= 0) {
      if (children > end - at) return "a length runs past the end";
      if (pending.length > limits.depth) return `nested deeper than ${limits.depth}`;
      pending.push(children);
      inMap.push(map);
    }
  }
  return at === end ? null : `${end - at} bytes follow the value`;
}

/**
 * MessagePack, as far as control messages use it: nil, booleans, numbers, strings, byte strings, arrays, and maps with
 * string keys (https://github.com/msgpack/msgpack/blob/master/spec.md). It is written here because a general codec
 * would be a quarter of the code that a page loads.
 */

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** The first byte of a short form, and of the forms with a length of 8, 16 and 32 bits; 0 where there is no such form. */
const STRING = [0xa0, 0xd9, 0xda, 0xdb] as const;
const BINARY = [0, 0xc4, 0xc5, 0xc6] as const;
const ARRAY = [0x90, 0, 0xdc, 0xdd] as const;
const MAP = [0x80, 0, 0xde, 0xdf] as const;
/** Most that a short form holds. */
const SHORT = new Map<number, number>([
  [0xa0, 31],
  [0x90, 15],
  [0x80, 15],
]);

/** Writes values one after the other. */
class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  /** `depth` is how much deeper values may be nested. */
  value(value: unknown, depth: number): void {
    if (value === null || value === undefined) this.#byte(0xc0);
    else if (typeof value === "boolean") this.#byte(value ? 0xc3 : 0xc2);
    else if (typeof value === "number") this.#number(value);
    else if (typeof value === "string") this.#string(value);
    else if (value instanceof Uint8Array) {
      this.#head(BINARY, value.byteLength);
      this.#raw(value);
    } else if (depth < 0) throw new TypeError("it is nested too deep");
    else if (Array.isArray(value)) {
      this.#head(ARRAY, value.length);
      for (const item of value) this.value(item, depth - 1);
    } else if (Object.prototype.toString.call(value) === "[object Object]") {
      const entries = Object.entries(value);
      this.#head(MAP, entries.length);
      for (const [key, item] of entries) {
        this.#string(key);
        this.value(item, depth - 1);
      }
    } else throw new TypeError(`a ${kindOf(value)} has no form that every runtime reads`);
  }

  #number(value: number): void {
    if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0xffff_ffff) {
      this.#byte(0xcb);
      this.#take(8).setFloat64(this.#at - 8, value);
    } else if (value >= -32 && value <= 0x7f) this.#byte(value & 0xff);
    else if (value < 0) {
      this.#byte(0xd2);
      this.#take(4).setInt32(this.#at - 4, value);
    } else {
      this.#byte(0xce);
      this.#take(4).setUint32(this.#at - 4, value);
    }
  }

  #string(value: string): void {
    const bytes = utf8.encode(value);
    this.#head(STRING, bytes.byteLength);
    this.#raw(bytes);
  }

  #head([short, in8, in16, in32]: readonly [number, number, number, number], length: number): void {
    if (length <= (SHORT.get(short) ?? -1)) this.#byte(short | length);
    else if (in8 !== 0 && length <= 0xff) {
      this.#byte(in8);
      this.#byte(length);
    } else if (length <= 0xffff) {
      this.#byte(in16);
      this.#take(2).setUint16(this.#at - 2, length);
    } else {
      this.#byte(in32);
      this.#take(4).setUint32(this.#at - 4, length);
    }
  }

  #byte(value: number): void {
    this.#take(1).setUint8(this.#at - 1, value);
  }

  #raw(bytes: Uint8Array): void {
    this.#take(bytes.byteLength);
    this.#bytes.set(bytes, this.#at - bytes.byteLength);
  }

  /** Makes room for `count` bytes before `#at`, and returns the view that writes them, which may be a new one. */
  #take(count: number): DataView {
    this.#at += count;
    if (this.#at > this.#bytes.byteLength) {
      const larger = new Uint8Array(2 * this.#at);
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return this.#view;
  }
}

/**
 * `value` in MessagePack. `undefined` becomes nil, and -0 becomes 0.
 * @throws TypeError for a value that has no such form, or is nested deeper than `maxDepth`.
 */
export function encodeValue(value: unknown, maxDepth: number): Uint8Array {
  const writer = new Writer();
  writer.value(value, maxDepth - 1);
  return writer.written;
}

/** Reads values that control.ts has scanned: every length is within the bytes, every key a string. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  value(): unknown {
    const type = this.#view.getUint8(this.#at++);
    if (type <= 0x7f) return type;
    if (type >= 0xe0) return type - 0x100;
    if (type <= 0x8f) return this.#map(type & 0x0f);
    if (type <= 0x9f) return this.#array(type & 0x0f);
    if (type <= 0xbf) return this.#string(type & 0x1f);
    switch (type) {
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        // A copy: a value that is kept must not keep its network buffer alive.
        return Uint8Array.from(this.#take(this.#length(type - 0xc4)));
      case 0xca:
        return this.#view.getFloat32(this.#skip(4));
      case 0xcb:
        return this.#view.getFloat64(this.#skip(8));
      case 0xcc:
        return this.#view.getUint8(this.#skip(1));
      case 0xcd:
        return this.#view.getUint16(this.#skip(2));
      case 0xce:
        return this.#view.getUint32(this.#skip(4));
      case 0xcf:
        return Number(this.#view.getBigUint64(this.#skip(8)));
      case 0xd0:
        return this.#view.getInt8(this.#skip(1));
      case 0xd1:
        return this.#view.getInt16(this.#skip(2));
      case 0xd2:
        return this.#view.getInt32(this.#skip(4));
      case 0xd3:
        return Number(this.#view.getBigInt64(this.#skip(8)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#string(this.#length(type - 0xd9));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#length(type - 0xdb));
      case 0xde:
      case 0xdf:
        return this.#map(this.#length(type - 0xdd));
      default:
        return null;
    }
  }

  #array(length: number): unknown[] {
    return Array.from({ length }, () => this.value());
  }

  #map(length: number): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    for (let i = 0; i < length; i++) {
      const key = this.value() as string;
      const value = this.value();
      // S12: an assignment to __proto__ would set a prototype.
      if (key === "__proto__") Object.defineProperty(map, key, { value, enumerable: true });
      else map[key] = value;
    }
    return map;
  }

  #string(length: number): string {
    return text.decode(this.#take(length));
  }

  /** A length of 8, 16 or 32 bits. */
  #length(width: number): number {
    if (width === 0) return this.#view.getUint8(this.#skip(1));
    return width === 1 ? this.#view.getUint16(this.#skip(2)) : this.#view.getUint32(this.#skip(4));
  }

  #take(count: number): Uint8Array {
    const at = this.#skip(count);
    return this.#bytes.subarray(at, at + count);
  }

  #skip(count: number): number {
    const at = this.#at;
    this.#at += count;
    return at;
  }
}

/**
 * The value that scanned bytes hold. They must not lie in memory that threads share: browsers decode no text from it.
 */
export function decodeValue(bytes: Uint8Array): unknown {
  return new Reader(bytes).value();
}

function kindOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return typeof value;
  return Object.prototype.toString.call(value).slice(8, -1);
}

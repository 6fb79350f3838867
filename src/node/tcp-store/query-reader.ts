/** QueryReader: queries from the bytes of one client, as far as they have come. */
import { ProtocolError } from "../../errors.ts";
import { ByteQueue } from "./byte-queue.ts";
import {
  type Dialect,
  FORMS,
  type Form,
  MAGIC,
  MAX_KEY_BYTES,
  MAX_STRINGS,
  MAX_VALUE_BYTES,
  type Op,
  opOf,
  VALIDATE_BYTES,
} from "./queries.ts";

/** A query that has come whole. */
export interface Query {
  readonly op: Op;
  readonly strings: readonly Buffer[];
  /** The integer at its end, where it has one. */
  readonly integer: bigint;
}

/** A query that has come in part. */
interface Part {
  readonly op: Op;
  readonly form: Form;
  readonly strings: Buffer[];
  /** How many strings it has; null until the count has come. */
  count: number | null;
  /** The length of the string that comes next, once it has come. */
  nextBytes: number | null;
  byteLength: number;
}

/** Reads one client's queries. Lengths are bounded, and nothing of a declared size is allocated before it has come. */
export class QueryReader {
  readonly #bytes = new ByteQueue();
  readonly #dialects: readonly Dialect[];
  #dialect: Dialect | null = null;
  #part: Part | null = null;

  /** `dialects`: those that are understood. */
  constructor(dialects: readonly Dialect[] = ["2.x", "1.x"]) {
    this.#dialects = dialects;
  }

  /** How the client speaks, once its first bytes have told. */
  get dialect(): Dialect | null {
    return this.#dialect;
  }

  /** Has a query come in part? */
  get isInside(): boolean {
    return this.#part !== null || this.#bytes.length > 0;
  }

  /** Bytes that have come and are in no whole query. */
  get bytesKept(): number {
    return this.#bytes.length + (this.#part ? this.#part.byteLength - (this.#part.nextBytes ?? 0) : 0);
  }

  push(bytes: Buffer): void {
    this.#bytes.push(bytes);
  }

  /**
   * The next query, or null if it has not come whole.
   * @throws ProtocolError if what has come is none.
   */
  next(): Query | null {
    if (this.#dialect === null && !this.#begin()) return null;
    if (this.#part === null) {
      if (this.#bytes.length === 0) return null;
      this.#part = this.#start(this.#bytes.takeByte());
    }
    const part = this.#part;
    if (part.count === null) {
      if (this.#bytes.length < 8) return null;
      part.count = this.#length(MAX_STRINGS / part.form.strings, "items") * part.form.strings;
    }
    while (part.strings.length < part.count) if (!this.#string(part)) return null;
    const { integerBytes } = part.form;
    if (this.#bytes.length < integerBytes) return null;
    this.#part = null;
    return { op: part.op, strings: part.strings, integer: this.#integer(integerBytes) };
  }

  /** Tells the dialect by the first bytes. A 1.x set that began like a validate would have a key of a gibibyte. */
  #begin(): boolean {
    if (this.#bytes.length === 0) return false;
    const first = this.#bytes.take(Math.min(this.#bytes.length, VALIDATE_BYTES.length));
    const isValidate = first.every((byte, i) => byte === VALIDATE_BYTES[i]);
    const rest = this.#bytes.take(this.#bytes.length);
    // Taken to be looked at: all of it stands in the queue again.
    this.#bytes.push(isValidate && first.length === VALIDATE_BYTES.length ? rest : Buffer.concat([first, rest]));
    if (isValidate && first.length < VALIDATE_BYTES.length) return false;
    this.#dialect = isValidate ? "2.x" : "1.x";
    if (!this.#dialects.includes(this.#dialect)) throw new ProtocolError(`it speaks the dialect of ${this.#dialect}`);
    return true;
  }

  #start(byte: number): Part {
    const op = opOf(byte, this.#dialect!);
    if (op === null) throw new ProtocolError(`${byte} is the number of no query`);
    const form = FORMS[op]!;
    return { op, form, strings: [], count: form.isList ? null : form.strings, nextBytes: null, byteLength: 0 };
  }

  /** Reads one string, if it has come. */
  #string(part: Part): boolean {
    if (part.nextBytes === null) {
      if (this.#bytes.length < 8) return false;
      // Every string that stands first in its item is a key.
      const isKey = part.strings.length % part.form.strings === 0;
      part.nextBytes = this.#length(isKey ? MAX_KEY_BYTES : MAX_VALUE_BYTES, "bytes");
      part.byteLength += part.nextBytes;
      if (part.byteLength > MAX_VALUE_BYTES + MAX_KEY_BYTES) {
        throw new ProtocolError(`a query of ${part.byteLength} bytes is too long`);
      }
    }
    if (this.#bytes.length < part.nextBytes) return false;
    part.strings.push(this.#bytes.take(part.nextBytes));
    part.nextBytes = null;
    return true;
  }

  #length(most: number, unit: string): number {
    const length = this.#bytes.takeUint64();
    if (length > most) throw new ProtocolError(`${length} ${unit} are more than the ${most} that are allowed`);
    return length;
  }

  #integer(byteLength: number): bigint {
    if (byteLength === 0) return 0n;
    const bytes = this.#bytes.take(byteLength);
    return byteLength === 4 ? BigInt(bytes.readUInt32LE()) : bytes.readBigInt64LE();
  }
}

/** @throws ProtocolError if a validate says something else. */
export function checkMagic(magic: bigint): void {
  if (magic !== BigInt(MAGIC)) throw new ProtocolError("validate has another magic");
}

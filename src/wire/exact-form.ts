/**
 * The exact form of a value: a copy that msgpackr packs so that the other side gets an equal value. One walk makes it, and
 * refuses by its path whatever has none. docs/objects.md has the list of what is carried and what is refused.
 */
import { NegativeZero, needsText, Text } from "./packed.ts";
import { type Limits, MAX_STRING_LENGTH } from "./scan.ts";

const MIN_INT64 = -(2n ** 63n);
const MAX_UINT64 = 2n ** 64n - 1n;
const NEGATIVE_ZERO = new NegativeZero();

/** By class: how to send it nevertheless. */
const REMEDIES: ReadonlyMap<string, string> = new Map([
  ["Date", "send its time, date.getTime()"],
  ["Map", "send its entries, [...map]"],
  ["Set", "send its values, [...set]"],
  ["ArrayBuffer", "send a Uint8Array of it"],
  ["SharedArrayBuffer", "send a Uint8Array of it"],
  ["DataView", "send a Uint8Array of its bytes"],
]);

/**
 * The exact form of `value`, which errors call `name`.
 * @throws TypeError that names the path of the field that has none, or that is nested too deep or one item too many.
 */
export function exactForm(value: unknown, limits: Limits, name: string): unknown {
  try {
    return new Walk(limits).form(value);
  } catch (error) {
    const { path, reason } = Refusal.of(error);
    throw new TypeError(`${name}${path} cannot be sent: ${reason}`, { cause: error });
  }
}

/** Thrown through the containers, each of which puts its step in front of the path. */
class Refusal extends Error {
  path = "";
  readonly reason: string;

  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.reason = reason;
  }

  /** Any error that the walk meets, such as that of a getter. */
  static of(error: unknown): Refusal {
    return error instanceof Refusal ? error : new Refusal(`reading it failed: ${error}`, { cause: error });
  }

  within(step: string): Refusal {
    this.path = step + this.path;
    return this;
  }
}

class Walk {
  readonly #limits: Limits;
  #items = 1;
  /** The containers around the value at hand. */
  readonly #around: object[] = [];

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  form(value: unknown): unknown {
    switch (typeof value) {
      case "boolean":
      case "undefined":
        return value;
      case "number":
        return Object.is(value, -0) ? NEGATIVE_ZERO : value;
      case "string":
        return stringForm(value);
      case "bigint":
        if (value >= MIN_INT64 && value <= MAX_UINT64) return value;
        throw new Refusal("it is a BigInt of more than 64 bits; send its text");
      case "object":
        return value === null ? null : this.#object(value);
      default:
        throw new Refusal(`it is a ${typeof value}`);
    }
  }

  #object(value: object): unknown {
    const typedArray = typedArrayName(value);
    if (typedArray === "Uint8Array") return bytesForm(value as Uint8Array);
    if (typedArray) {
      throw new Refusal(`it is a ${typedArray}; send its bytes as a Uint8Array, or send it by a collective of tensors`);
    }
    const isArray = isPlainArray(value);
    if (!isArray && !isPlainObject(value)) throw new Refusal(classText(value));
    const around = this.#around;
    if (around.includes(value)) throw new Refusal("it contains itself");
    if (around.length >= this.#limits.depth) throw new Refusal(`it is nested deeper than ${this.#limits.depth}`);
    around.push(value);
    const form = isArray ? this.#array(value) : this.#map(value);
    around.pop();
    return form;
  }

  #array(values: readonly unknown[]): unknown[] {
    this.#count(values.length);
    const form: unknown[] = [];
    let i = 0;
    try {
      for (; i < values.length; i++) {
        const item = values[i];
        if (item === undefined && !(i in values)) throw new Refusal("it is a hole of a sparse array");
        form.push(this.form(item));
      }
    } catch (error) {
      throw Refusal.of(error).within(`[${i}]`);
    }
    const named = Object.keys(values)[values.length];
    if (named !== undefined) throw new Refusal("it is a named field of an array").within(keyStep(named));
    return form;
  }

  /** A Map, for its keys may be {@link Text}, and msgpackr takes it for nothing else. */
  #map(value: object): Map<unknown, unknown> {
    const keys = Object.keys(value);
    this.#count(2 * keys.length);
    const form = new Map<unknown, unknown>();
    let key: string | symbol = "";
    try {
      for (key of keys) {
        // S12: as a key it is data here and a trap wherever it is copied by assignment.
        if (key === "__proto__") throw new Refusal("no object may have this key");
        form.set(stringForm(key), this.form((value as Record<string, unknown>)[key]));
      }
      for (key of Object.getOwnPropertySymbols(value)) {
        if (Object.prototype.propertyIsEnumerable.call(value, key)) throw new Refusal("its key is a symbol");
      }
    } catch (error) {
      throw Refusal.of(error).within(typeof key === "symbol" ? `[${String(key)}]` : keyStep(key));
    }
    return form;
  }

  #count(items: number): void {
    this.#items += items;
    if (this.#items > this.#limits.items) {
      throw new Refusal(`with it the value has more than ${this.#limits.items} items`);
    }
  }
}

function stringForm(value: string): string | Text {
  if (value.length > MAX_STRING_LENGTH) {
    throw new Refusal(`it is a string of ${value.length} characters, more than ${MAX_STRING_LENGTH}`);
  }
  return needsText(value) ? new Text(value) : value;
}

/** Bytes of this realm, whatever subclass or realm they are of. */
function bytesForm({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** A typed array of any realm has it, and nothing else. */
const typedArrayTag = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)?.get;

function typedArrayName(value: object): string | undefined {
  return ArrayBuffer.isView(value) ? typedArrayTag?.call(value) : undefined;
}

/** An array of any realm: of the prototypes of arrays, those of subclasses alone are no arrays themselves. */
function isPlainArray(value: object): value is unknown[] {
  return Array.isArray(value) && Array.isArray(Object.getPrototypeOf(value));
}

/** An object of any realm that was written as `{ … }`, or has no prototype. */
function isPlainObject(value: object): boolean {
  if (Array.isArray(value) || Symbol.toStringTag in value || Symbol.iterator in value) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function classText(value: object): string {
  const made = value.constructor;
  const name = typeof made === "function" ? made.name : "";
  const remedy = REMEDIES.get(name) ?? "send a plain object of its fields";
  return `it is ${name ? `an instance of ${name}` : "no plain object"}; ${remedy}`;
}

/** A key as the path has it; of a long one the beginning. */
function keyStep(key: string): string {
  const shown = key.length > MOST_SHOWN ? `${key.slice(0, MOST_SHOWN)}…` : key;
  return /^[A-Za-z_$][\w$]*$/.test(shown) ? `.${shown}` : `[${JSON.stringify(shown)}]`;
}

const MOST_SHOWN = 60;

/**
 * The inputs of every rank, derived from a seed, and their reductions.
 *
 * "exact" inputs have one right result whatever the order of the reduction: integers of any size (arithmetic modulo
 * 2^n), and floats that never round: small integers times a power of two common to all ranks; powers of two for
 * products; denormals; and elements of zeros of both signs, infinities and NaNs. "random" floats round at every step, so
 * that the result tells the order: they are for groups that promise one. "normal" inputs are "exact" ones without
 * denormals, which some devices take for zero.
 */

import { SeededRandom } from "../support/seeded-random.ts";
import { bytesPerElement, type DataType, type HostArray, isFloat, isFloat8 } from "../types.ts";
import { type CaseOp, opOfRank } from "./case-op.ts";
import { bytesOf } from "./digest.ts";
import {
  arrayOf,
  combineElements,
  encodeSmallFloat,
  finishElements,
  isSmallFloat,
  prepareElements,
} from "./reference.ts";

/** The kind of numbers in the inputs of a case. */
export type Inputs = "exact" | "normal" | "random";

/** All that determines the data of a case. */
export interface DataKey {
  /** The type of the elements. */
  readonly dtype: DataType;
  /** null for data that is only moved: any bits. */
  readonly op: CaseOp | null;
  /** The kind of numbers. */
  readonly inputs: Inputs;
  /** How many ranks the group has. */
  readonly size: number;
  /** Other numbers for each. */
  readonly seed: number;
}

/** Inputs that differ in nothing else serve several operations. */
type InputKind = "any" | "odd" | "float" | "powers" | "shares" | "scaled";

function inputKind({ dtype, op }: DataKey): InputKind {
  if (op === null) return "any";
  // A product of many even integers is soon zero.
  if (!isFloat(dtype)) return op === "product" ? "odd" : "any";
  return op === "product" ? "powers" : op === "avg" ? "shares" : op === "premul-sum" ? "scaled" : "float";
}

/** Elements that begin alike however many are wanted: more of them are worked out on demand. */
class Growing {
  #elements: HostArray;
  readonly #dtype: DataType;
  readonly #more: (start: number, end: number) => HostArray;

  /** `more` gives elements `start` to `end`; its calls follow each other without a gap. */
  constructor(dtype: DataType, more: (start: number, end: number) => HostArray) {
    this.#elements = arrayOf(dtype, 0);
    this.#dtype = dtype;
    this.#more = more;
  }

  /** The first `count` elements. */
  first(count: number): HostArray {
    const known = this.#elements;
    if (known.length < count) {
      const end = roomFor(count);
      const grown = arrayOf(this.#dtype, end) as Uint8Array;
      grown.set(known as Uint8Array);
      grown.set(this.#more(known.length, end) as Uint8Array, known.length);
      this.#elements = grown;
    }
    return this.#elements.subarray(0, count);
  }
}

/** Some more than `count`, since the next case may want a few more; a multiple of 16, and the same for the result. */
function roomFor(count: number): number {
  const step = 2 ** Math.max(4, Math.floor(Math.log2(count)) - 3);
  return Math.ceil(count / step) * step;
}

/** The folds of all ranks' inputs to one operation. */
class Folds {
  readonly #key: DataKey;
  readonly #input: (rank: number, count: number) => HostArray;
  readonly #prefixes = new Map<number, Growing>();
  readonly total: Growing;

  constructor(key: DataKey, input: (rank: number, count: number) => HostArray) {
    this.#key = key;
    this.#input = input;
    const { dtype, op, size } = key;
    this.total = new Growing(dtype, (start, end) => {
      const folded = this.prefix(size - 1).first(end);
      return finishElements(dtype, opOfRank(op as CaseOp, dtype, 0), folded.subarray(start), size);
    });
  }

  /** The left fold of ranks 0 to `last`. */
  prefix(last: number): Growing {
    const known = this.#prefixes.get(last);
    if (known) return known;
    const { dtype, op, size } = this.#key;
    const operation = opOfRank(op as CaseOp, dtype, last);
    const prefix = new Growing(dtype, (start, end) => {
      const own = prepareElements(dtype, operation, this.#input(last, end).subarray(start), size);
      if (last === 0) return own;
      return combineElements(
        dtype,
        operation,
        this.prefix(last - 1)
          .first(end)
          .subarray(start),
        own,
      );
    });
    this.#prefixes.set(last, prefix);
    return prefix;
  }
}

/** A Map that keeps the latest entries. */
class Recent<T> {
  readonly #entries = new Map<string, T>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** The entry of `name`, a new one if there is none. */
  get(name: string, make: () => T): T {
    const entry = this.#entries.get(name) ?? make();
    // A Map keeps the order of insertion: the first key is the one unused for longest.
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#most) break;
      this.#entries.delete(oldest);
    }
    return entry;
  }
}

/**
 * Makes inputs and results on demand and keeps the latest, since many cases use the same. Arrays handed out are shared:
 * read them only.
 */
export class CaseData {
  readonly #inputs: Recent<Growing>;
  readonly #folds: Recent<Folds>;

  /** Keeps the results of `most` keys, and the inputs of 8 ranks to each. */
  constructor(most = 6) {
    this.#inputs = new Recent(8 * most);
    this.#folds = new Recent(most);
  }

  /** The first `count` elements of the input of `rank`. */
  input(key: DataKey, rank: number, count: number): HostArray {
    const name = [key.dtype, inputKind(key), key.inputs, key.size, key.seed, rank].join("/");
    return this.#inputs.get(name, () => new Growing(key.dtype, inputOf(key, rank))).first(count);
  }

  /** The first `count` elements of the left fold of ranks 0 to `last`. */
  prefix(key: DataKey, last: number, count: number): HostArray {
    return this.#foldsOf(key).prefix(last).first(count);
  }

  /** The first `count` elements of the reduction of all ranks. */
  total(key: DataKey, count: number): HostArray {
    return this.#foldsOf(key).total.first(count);
  }

  #foldsOf(key: DataKey): Folds {
    const name = [key.dtype, key.op, key.inputs, key.size, key.seed].join("/");
    return this.#folds.get(name, () => new Folds(key, (rank, count) => this.input(key, rank, count)));
  }
}

/** One rank's input, from its beginning on. A part that begins at a multiple of 16 elements begins with a whole word. */
function inputOf(key: DataKey, rank: number): (start: number, end: number) => HostArray {
  const { dtype, inputs, seed } = key;
  const kind = inputKind(key);
  const own = new SeededRandom(seed, "own", dtype, kind, rank);
  if (kind === "any" || kind === "odd") return (start, end) => anyBits(own, dtype, end - start, kind === "odd");
  const make = inputs === "random" ? () => randomFloat(own, dtype, kind) : exactFloats(key, kind, rank, own);
  const noise = new SeededRandom(seed, "NaN", dtype, rank);
  return (start, end) => {
    const values = new Float64Array(end - start);
    for (let index = 0; index < values.length; index++) values[index] = make();
    const result = arrayOf(dtype, values.length);
    if (isSmallFloat(dtype)) {
      for (let index = 0; index < values.length; index++)
        result[index] = encodeSmallFloat(dtype, values[index] as number);
    } else {
      (result as Float64Array).set(values);
    }
    for (let index = 0; index < values.length; index++) {
      if (Number.isNaN(values[index])) writeNaN(dtype, result, index, key.size > 1 ? noise.u32() : 0);
    }
    return result;
  };
}

function anyBits(own: SeededRandom, dtype: DataType, count: number, odd: boolean): HostArray {
  const result = arrayOf(dtype, count);
  const words = new Uint32Array(Math.ceil(result.byteLength / 4));
  own.fill(words);
  const bytes = bytesOf(words).subarray(0, result.byteLength);
  if (odd) for (let at = 0; at < bytes.length; at += bytesPerElement(dtype)) bytes[at]! |= 1;
  bytesOf(result).set(bytes);
  return result;
}

/** The canonical NaN with the sign and the payload that `noise` gives it; every reduction is to take them off again. */
function writeNaN(dtype: DataType, target: HostArray, index: number, noise: number): void {
  const { buffer } = target;
  if (target instanceof Float64Array) {
    const words = new Uint32Array(buffer, index * 8, 2);
    words[0] = noise;
    words[1] = 0x7ff80000 | (noise & 0x8007ffff);
  } else if (target instanceof Float32Array) {
    new Uint32Array(buffer)[index] = 0x7fc00000 | (noise & 0x803fffff);
  } else if (isFloat8(dtype)) {
    // Three payloads of f8e5m2, and the one of f8e4m3.
    target[index] = (dtype === "f8e5m2" ? 0x7d + (noise % 3) : 0x7f) | ((noise >>> 8) & 0x80);
  } else {
    target[index] = (target[index] as number) | (noise & 0x803f);
  }
}

/** Significant bits, and the exponent of the smallest denormal. */
const FLOAT_FORMATS: Partial<Record<DataType, { significantBits: number; smallestExponent: number }>> = {
  f16: { significantBits: 11, smallestExponent: -24 },
  bf16: { significantBits: 8, smallestExponent: -133 },
  f32: { significantBits: 24, smallestExponent: -149 },
  f64: { significantBits: 53, smallestExponent: -1074 },
  f8e4m3: { significantBits: 4, smallestExponent: -9 },
  f8e5m2: { significantBits: 3, smallestExponent: -16 },
};

/** A value whose every bit matters; products of a few stay in range. */
function randomFloat(own: SeededRandom, dtype: DataType, kind: InputKind): number {
  const sign = own.u32() % 2 === 0 ? 1 : -1;
  const mantissa = 1 + own.u32() / 2 ** 32;
  const range = kind === "powers" ? 1 : dtype === "f16" || isFloat8(dtype) ? 4 : 16;
  return sign * mantissa * 2 ** (own.below(2 * range) - range);
}

const SPECIALS = [Number.NaN, Infinity, -Infinity, 0, 0, -0, -0, -0];

/** How many ranks may contribute an element, so that no step of the reduction rounds: few in the 8-bit floats. */
function mostContributors(kind: InputKind, significantBits: number, size: number): number {
  // With another divisor than a power of two each share rounds, so that a sum of two would tell their order.
  if (kind === "shares" && !Number.isInteger(Math.log2(size))) return 1;
  // From 2^-8 to 2^8, which f8e4m3 holds.
  if (kind === "powers") return significantBits <= 4 ? 8 : size;
  // The sum of so many elements, with the largest factor of premul-sum (3, in steps of a half), fits the significant bits.
  return kind === "scaled" ? 2 ** significantBits / 8 : 2 ** significantBits;
}

/** A generator of this rank's "exact" floats. The kind of an element is the same on all ranks. */
function exactFloats(key: DataKey, kind: InputKind, rank: number, own: SeededRandom): () => number {
  const { dtype, inputs, size, seed } = key;
  const format = FLOAT_FORMATS[dtype];
  if (!format) throw new TypeError(`${dtype} is no float`);
  const { significantBits, smallestExponent } = format;
  const common = new SeededRandom(seed, "common", dtype, kind);
  // The whole sum, with the largest factor of premul-sum (3, in steps of a half), fits the significant bits.
  const largest = Math.max(1, Math.min(100, Math.floor(2 ** significantBits / (8 * size))));
  const contributors = mostContributors(kind, significantBits, size);
  return () => {
    const special = common.below(32);
    const firstContributor = common.below(size);
    const scale = common.below(7) - 3;
    const draw = own.u32();
    if (special === 0) {
      const value = SPECIALS[draw % SPECIALS.length] as number;
      // f8e4m3 has no infinities, and where it saturates the order of a sum would tell.
      return dtype === "f8e4m3" && Math.abs(value) === Infinity ? 0 : value;
    }
    if (special === 1) return draw % 8 === 0 ? 0 : -0;
    const contributes = (rank - firstContributor + size) % size < contributors;
    if (kind === "powers") return (draw & 8 ? -1 : 1) * (draw % 2 === 1 || !contributes ? 1 : draw % 4 === 0 ? 0.5 : 2);
    if (!contributes) return 0;
    const integer = (draw % (2 * largest + 1)) - largest;
    // Factors below one would round the smallest denormals.
    if (special === 2 && kind === "float" && inputs === "exact") return integer * 2 ** smallestExponent;
    return integer * 2 ** scale;
  };
}

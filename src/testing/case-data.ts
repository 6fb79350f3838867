/**
 * The inputs of every rank, derived from a seed, and what reducing them must give.
 *
 * "exact" inputs have one right result whatever the order of the reduction: integers of any size (arithmetic modulo
 * 2^n), and floats that never round: small integers times a power of two common to all ranks; powers of two for
 * products; denormals; and elements of zeros of both signs, infinities and NaNs. "random" floats round at every step, so
 * that the result tells the order: they are for groups that promise one. "normal" inputs are "exact" ones without
 * denormals, which some devices take for zero.
 */
import { ReduceOp } from "../reduce-op.ts";
import { bytesPerElement, type DataType, type HostArray, isFloat } from "../types.ts";
import { bytesOf } from "./digest.ts";
import { arrayOf, combineElements, encodeHalf, finishElements, prepareElements } from "./reference.ts";
import { SeededRandom } from "./seeded-random.ts";

/** The operations a case may name; the last two are custom ones, `custom-ordered` neither commutative nor associative. */
export const CASE_OPS = [
  "sum",
  "avg",
  "product",
  "min",
  "max",
  "band",
  "bor",
  "bxor",
  "premul-sum",
  "custom",
  "custom-ordered",
] as const;
export type CaseOp = (typeof CASE_OPS)[number];

/** Which kind of numbers a case is run on. */
export type Inputs = "exact" | "normal" | "random";

/** Is `op` defined for `dtype`? Bitwise operations are for integers, and so is the ordered custom one of these cases. */
export function opFits(op: CaseOp, dtype: DataType): boolean {
  return !isFloat(dtype) || !["band", "bor", "bxor", "custom-ordered"].includes(op);
}

/** The operation that `rank` passes: the factor of premul-sum is its own. */
export function opOfRank(op: CaseOp, dtype: DataType, rank: number): ReduceOp {
  const big = dtype === "i64" || dtype === "u64";
  switch (op) {
    case "premul-sum":
      if (isFloat(dtype)) return ReduceOp.premulSum([2, 0.5, -3, 1][rank % 4] as number);
      return ReduceOp.premulSum(big && rank % 2 === 0 ? BigInt(rank + 2) : rank + 2);
    case "custom":
      return isFloat(dtype) ? LARGEST_MAGNITUDE : big ? CIRCLE_BIG : CIRCLE;
    case "custom-ordered":
      return big ? DIGITS_BIG : DIGITS;
    default:
      return ReduceOp[op.toUpperCase() as "SUM"];
  }
}

/** On the bits, by which NaN is the largest: WGSL's own max may overlook a NaN. */
const LARGEST_MAGNITUDE = ReduceOp.custom({
  name: "largest-magnitude",
  wgsl: "bitcast<f32>(max(bitcast<u32>(a) & 0x7fffffffu, bitcast<u32>(b) & 0x7fffffffu))",
  js: (a: number, b: number) => Math.max(Math.abs(a), Math.abs(b)),
  identity: 0,
  commutative: true,
});

/** a + b + ab, which is (1 + a)(1 + b) - 1: commutative and associative, also modulo 2^n. */
const CIRCLE = ReduceOp.custom({
  ...{ name: "circle", wgsl: "a + b + a * b", identity: 0, commutative: true },
  js: (a: number, b: number) => a + b + Math.imul(a, b),
});
/** WGSL has 64-bit integers as vec2<u32>, low word first: there the two are made of what needs no carry. */
const CIRCLE_BIG = ReduceOp.custom({
  ...{ name: "equal-bits", wgsl: "~(a ^ b)", identity: -1n, commutative: true },
  js: (a: bigint, b: bigint) => ~(a ^ b),
});

/** Appends b to a as a digit to base 31: each order of ranks and each order of steps gives another number. */
const DIGITS = ReduceOp.custom({
  ...{ name: "digits", wgsl: "a * 31 + b", identity: 0, commutative: false },
  js: (a: number, b: number) => a * 31 + b,
});
/** Turns a by one bit before it takes b: as sensitive to order. */
const DIGITS_BIG = ReduceOp.custom({
  ...{ name: "turns", wgsl: "((a << vec2(1u)) | (a.yx >> vec2(31u))) ^ b", identity: 0n, commutative: false },
  js: (a: bigint, b: bigint) => ((a << 1n) | ((a >> 63n) & 1n)) ^ b,
});

/** What the data of a case depends on. */
export interface DataKey {
  readonly dtype: DataType;
  /** null for data that is only moved: any bits. */
  readonly op: CaseOp | null;
  readonly inputs: Inputs;
  readonly size: number;
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

/** The folds of all ranks' inputs to one operation. */
class Folds {
  readonly #key: DataKey;
  readonly #input: (rank: number) => HostArray;
  readonly #prefixes = new Map<number, HostArray>();
  #total: HostArray | null = null;
  readonly capacity: number;

  constructor(key: DataKey, capacity: number, input: (rank: number) => HostArray) {
    this.#key = key;
    this.#input = input;
    this.capacity = capacity;
  }

  /** The left fold of ranks 0 to `last`. */
  prefix(last: number): HostArray {
    const { dtype, op, size } = this.#key;
    const known = this.#prefixes.get(last);
    if (known) return known;
    const operation = opOfRank(op as CaseOp, dtype, last);
    const own = prepareElements(dtype, operation, this.#input(last), size);
    const folded = last === 0 ? own : combineElements(dtype, operation, this.prefix(last - 1), own);
    this.#prefixes.set(last, folded);
    return folded;
  }

  total(): HostArray {
    const { dtype, op, size } = this.#key;
    this.#total ??= finishElements(dtype, opOfRank(op as CaseOp, dtype, 0), this.prefix(size - 1), size);
    return this.#total;
  }
}

/** A Map that keeps the latest entries. */
class Recent<T> {
  readonly #entries = new Map<string, T>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** The entry of `name`; a new one if there is none or it is not `enough`. */
  get(name: string, enough: (entry: T) => boolean, make: () => T): T {
    let entry = this.#entries.get(name);
    if (entry === undefined || !enough(entry)) entry = make();
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
  readonly #inputs: Recent<HostArray>;
  readonly #folds: Recent<Folds>;

  /** Keeps the results of `most` keys, and the inputs of 8 ranks to each. */
  constructor(most = 6) {
    this.#inputs = new Recent(8 * most);
    this.#folds = new Recent(most);
  }

  /** The first `count` elements of the input of `rank`. */
  input(key: DataKey, rank: number, count: number): HostArray {
    const name = [key.dtype, inputKind(key), key.inputs, key.size, key.seed, rank].join("/");
    const enough = (input: HostArray) => input.length >= count;
    return this.#inputs.get(name, enough, () => makeInput(key, rank, roomFor(count))).subarray(0, count);
  }

  /** The first `count` elements of the left fold of ranks 0 to `last`. */
  prefix(key: DataKey, last: number, count: number): HostArray {
    return this.#foldsOf(key, count).prefix(last).subarray(0, count);
  }

  /** The first `count` elements of the reduction of all ranks. */
  total(key: DataKey, count: number): HostArray {
    return this.#foldsOf(key, count).total().subarray(0, count);
  }

  #foldsOf(key: DataKey, count: number): Folds {
    const name = [key.dtype, key.op, key.inputs, key.size, key.seed].join("/");
    const make = () => {
      const capacity = roomFor(count);
      return new Folds(key, capacity, (rank) => this.input(key, rank, capacity));
    };
    return this.#folds.get(name, (folds) => folds.capacity >= count, make);
  }
}

/** Some more than `count`, since the next case may want a few more. */
function roomFor(count: number): number {
  return count + (count >> 4) + 8;
}

/** One rank's input. A longer one begins with a shorter one. */
function makeInput(key: DataKey, rank: number, count: number): HostArray {
  const { dtype, inputs, seed } = key;
  const kind = inputKind(key);
  const own = new SeededRandom(seed, "own", dtype, kind, rank);
  const result = arrayOf(dtype, count);
  if (kind === "any" || kind === "odd") {
    const words = new Uint32Array(Math.ceil(result.byteLength / 4));
    own.fill(words);
    const bytes = bytesOf(words).subarray(0, result.byteLength);
    if (kind === "odd") for (let at = 0; at < bytes.length; at += bytesPerElement(dtype)) bytes[at]! |= 1;
    bytesOf(result).set(bytes);
    return result;
  }
  const make = inputs === "random" ? () => randomFloat(own, dtype, kind) : exactFloats(key, kind, rank, own);
  const values = new Float64Array(count);
  for (let index = 0; index < count; index++) values[index] = make();
  if (dtype === "f16" || dtype === "bf16") {
    for (let index = 0; index < count; index++) result[index] = encodeHalf(dtype, values[index] as number);
  } else {
    (result as Float64Array).set(values);
  }
  const noise = new SeededRandom(seed, "NaN", dtype, rank);
  for (let index = 0; index < count; index++) {
    if (Number.isNaN(values[index])) writeNaN(result, index, key.size > 1 ? noise.u32() : 0);
  }
  return result;
}

/** The canonical NaN with the sign and the payload that `noise` gives it; every reduction is to take them off again. */
function writeNaN(target: HostArray, index: number, noise: number): void {
  const { buffer } = target;
  if (target instanceof Float64Array) {
    const words = new Uint32Array(buffer, index * 8, 2);
    words[0] = noise;
    words[1] = 0x7ff80000 | (noise & 0x8007ffff);
  } else if (target instanceof Float32Array) {
    new Uint32Array(buffer)[index] = 0x7fc00000 | (noise & 0x803fffff);
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
};

/** A value whose every bit matters; products of a few stay in range. */
function randomFloat(own: SeededRandom, dtype: DataType, kind: InputKind): number {
  const sign = own.u32() % 2 === 0 ? 1 : -1;
  const mantissa = 1 + own.u32() / 2 ** 32;
  const range = kind === "powers" ? 1 : dtype === "f16" ? 4 : 16;
  return sign * mantissa * 2 ** (own.below(2 * range) - range);
}

const SPECIALS = [Number.NaN, Infinity, -Infinity, 0, 0, -0, -0, -0];

/** A generator of this rank's "exact" floats. The kind of an element is the same on all ranks. */
function exactFloats(key: DataKey, kind: InputKind, rank: number, own: SeededRandom): () => number {
  const { dtype, inputs, size, seed } = key;
  const { significantBits, smallestExponent } = FLOAT_FORMATS[dtype]!;
  const common = new SeededRandom(seed, "common", dtype, kind);
  // The whole sum, with the largest factor of premul-sum (3, in steps of a half), fits the significant bits.
  const largest = Math.max(1, Math.min(100, Math.floor(2 ** significantBits / (8 * size))));
  // With another divisor than a power of two each share rounds, so that a sum of two would tell their order.
  const oneContributes = kind === "shares" && !Number.isInteger(Math.log2(size));
  return () => {
    const special = common.below(32);
    const contributor = common.below(size);
    const scale = common.below(7) - 3;
    const draw = own.u32();
    if (special === 0) return SPECIALS[draw % SPECIALS.length] as number;
    if (special === 1) return draw % 8 === 0 ? 0 : -0;
    if (kind === "powers") return (draw & 8 ? -1 : 1) * ([0.5, 1, 2, 1] as const)[draw % 4]!;
    if (oneContributes && rank !== contributor) return 0;
    const integer = (draw % (2 * largest + 1)) - largest;
    // Factors below one would round the smallest denormals.
    if (special === 2 && kind === "float" && inputs === "exact") return integer * 2 ** smallestExponent;
    return integer * 2 ** scale;
  };
}

/**
 * Reduce operations: what is done to two elements that meet. Exact arithmetic: docs/arithmetic.md.
 */
import { checkOptions, type OptionNames } from "./option-checks.ts";
import { type DataType, isFloat } from "./types.ts";

/** The name of a reduction, as it stands in a fingerprint, a table and a message. */
export type ReduceOpName =
  | "sum"
  | "avg"
  | "product"
  | "min"
  | "max"
  | "band"
  | "bor"
  | "bxor"
  | "premul-sum"
  | "custom";

/** Every name, in the order of its code in a frame's fingerprint (docs/protocol.md). */
export const REDUCE_OP_NAMES = [
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
] as const satisfies readonly ReduceOpName[];

/** An operation that needs nothing beyond its name. */
export interface NamedReduceOp {
  /** Tells the operation. */
  readonly name: Exclude<ReduceOpName, "premul-sum" | "custom">;
}

/** Each rank's input times this rank's own factor, rounded, then summed (c10d and NCCL's PREMUL_SUM). */
export interface PremulSumReduceOp {
  /** Tells the operation. */
  readonly name: "premul-sum";
  /** This rank's factor; whole for integers. A bigint for i64 and u64. */
  readonly factor: number | bigint;
}

/** A user's operation. `wgsl` and `js` must compute the same function; their fingerprint is `label` and `wgsl`. */
export interface CustomReduceOp {
  /** Tells the operation. */
  readonly name: "custom";
  /** Your name for it. */
  readonly label: string;
  /** A WGSL expression over `a` and `b`, in the dtype's WGSL type. `a` is the lower rank's element. */
  readonly wgsl: string;
  /** The same function on the cpu: numbers, or bigints for i64 and u64. The result is rounded or wrapped to the dtype. */
  readonly js: (a: never, b: never) => number | bigint;
  /** The element that changes nothing. */
  readonly identity: number | bigint;
  /** May the operands be swapped and grouped as is fastest? If not, it is folded strictly in rank order. */
  readonly commutative: boolean;
}

/** An operation in its one internal form; what the public functions take is {@link ReduceOpLike}. */
export type ReduceOp = NamedReduceOp | PremulSumReduceOp | CustomReduceOp;

/** What `op:` takes: a `ReduceOp`, or its name for the eight that have no argument. */
export type ReduceOpLike = ReduceOp | NamedReduceOp["name"];

/** What `ReduceOp.custom` is given: all five fields, also where no rank has a GPU. */
export interface CustomReduceOpOptions {
  /** Your name for it: the same on every rank, and not "". */
  name: string;
  /** A WGSL expression over `a`, the lower rank's element, and `b`, in the dtype's WGSL type; for tensors in GPUBuffers. */
  wgsl: string;
  /** The same function for host memory: of numbers, or of bigints for i64 and u64. */
  js: ((a: number, b: number) => number) | ((a: bigint, b: bigint) => bigint);
  /** The element that changes nothing. */
  identity: number | bigint;
  /** May the operands be swapped and grouped as is fastest? If not, it is folded strictly in rank order. */
  commutative: boolean;
}

const CUSTOM_OPTIONS: OptionNames<CustomReduceOpOptions> = {
  ...{ name: true, wgsl: true, js: true, identity: true, commutative: true },
};

/** The reductions, as c10d names them. Each is an instance of this class, frozen. */
export interface ReduceOps {
  /**
   * A copy of an operation, or the one that a name means.
   * @throws TypeError if it is none, or lacks a field.
   */
  new (op: ReduceOpLike): ReduceOp;
  /** Is it an operation that this class made? */
  [Symbol.hasInstance](value: unknown): value is ReduceOp;
  /** Left plus right; integers wrap. */
  readonly SUM: NamedReduceOp;
  /** The sum over the number of ranks; of integers cut off towards zero. */
  readonly AVG: NamedReduceOp;
  /** Left times right; integers wrap. */
  readonly PRODUCT: NamedReduceOp;
  /** The lesser by value; NaN if either is. */
  readonly MIN: NamedReduceOp;
  /** The greater by value; NaN if either is. */
  readonly MAX: NamedReduceOp;
  /** Bitwise and, of integers. */
  readonly BAND: NamedReduceOp;
  /** Bitwise or, of integers. */
  readonly BOR: NamedReduceOp;
  /** Bitwise exclusive or, of integers. */
  readonly BXOR: NamedReduceOp;
  /**
   * SUM of each rank's input times that rank's `factor`; the product is rounded (floats) or wraps (integers).
   * @throws TypeError if `factor` is neither a number nor a bigint.
   */
  premulSum(factor: number | bigint): PremulSumReduceOp;
  /**
   * An operation of your own. With `commutative: false` it is folded strictly in rank order.
   * @throws TypeError if a field is missing or of the wrong type.
   */
  custom(options: CustomReduceOpOptions): CustomReduceOp;
  /** Are they the same operation, by value? Names stand for their operations. */
  equal(a: ReduceOpLike, b: ReduceOpLike): boolean;
}

const NAMED: readonly string[] = REDUCE_OP_NAMES.filter((name) => name !== "premul-sum" && name !== "custom");

class Operation {
  constructor(op: ReduceOpLike) {
    Object.assign(this, fieldsOf(op));
    Object.freeze(this);
  }

  static premulSum(factor: number | bigint): ReduceOp {
    return new ReduceOp({ name: "premul-sum", factor });
  }

  static custom(options: CustomReduceOpOptions): ReduceOp {
    checkOptions("ReduceOp.custom", CUSTOM_OPTIONS, options);
    const { name: label, js, ...rest } = options;
    return new ReduceOp({ ...rest, name: "custom", label, js: js as CustomReduceOp["js"] });
  }

  static equal(a: ReduceOpLike, b: ReduceOpLike): boolean {
    const [left, right] = [fieldsOf(a), fieldsOf(b)];
    return Object.entries(left).every(([field, value]) => Object.is(value, right[field as keyof typeof right]));
  }
}

/** The reductions: `ReduceOp.SUM` and its siblings, and those with arguments. {@link ReduceOps} has each. */
export const ReduceOp = Operation as unknown as ReduceOps;

const BY_NAME: ReadonlyMap<unknown, ReduceOp> = new Map(NAMED.map((name) => [name, new ReduceOp(name as "sum")]));
for (const [name, op] of BY_NAME) Object.defineProperty(Operation, String(name).toUpperCase(), { value: op });

/** An operation's own fields, checked. */
function fieldsOf(op: ReduceOpLike): ReduceOp {
  const { name } = (typeof op === "string" ? { name: op } : (op ?? {})) as ReduceOp;
  if (NAMED.includes(name)) return { name } as NamedReduceOp;
  const fields = op as ReduceOp;
  if (fields?.name === "premul-sum") {
    const { factor } = fields;
    if (typeof factor !== "number" && typeof factor !== "bigint") {
      throw new TypeError(`premulSum: factor must be a number or a bigint, got ${typeof factor}`);
    }
    return { name: fields.name, factor };
  }
  if (fields?.name === "custom") {
    const { label, wgsl, js, identity, commutative } = fields;
    if (typeof label !== "string" || label === "") throw new TypeError("custom: name must be a non-empty string");
    if (typeof wgsl !== "string") throw new TypeError("custom: wgsl must be a string, an expression over a and b");
    if (typeof js !== "function") throw new TypeError("custom: js must be a function of a and b");
    if (typeof identity !== "number" && typeof identity !== "bigint") {
      throw new TypeError("custom: identity must be a number or a bigint");
    }
    if (typeof commutative !== "boolean") throw new TypeError("custom: commutative must be true or false");
    return { name: fields.name, label, wgsl, js, identity, commutative };
  }
  throw new TypeError(`unknown reduce op ${JSON.stringify(op)}: use one of ${NAMED.join(", ")}, or ReduceOp`);
}

/**
 * The operation that `op` names, checked against the dtype it is to reduce.
 * @throws TypeError if it names none, is bitwise on floats, or multiplies integers by a factor that is not whole.
 */
export function resolveReduceOp(op: ReduceOpLike, dtype: DataType): ReduceOp {
  const resolved = BY_NAME.get(op) ?? (op instanceof ReduceOp ? op : new ReduceOp(op));
  if (isFloat(dtype) && (resolved.name === "band" || resolved.name === "bor" || resolved.name === "bxor")) {
    throw new TypeError(`reduce op ${resolved.name} is for integers, and the tensor is ${dtype}`);
  }
  if (resolved.name === "premul-sum" && !isFloat(dtype) && !isWhole(resolved.factor)) {
    throw new TypeError(`premulSum(${resolved.factor}): a tensor of ${dtype} needs a whole factor`);
  }
  return resolved;
}

/**
 * The option `accumulate` of a call that reduces these dtypes with `op`; undefined where it changes nothing.
 * @throws TypeError if it is not "f32", if `op` is no sum, or for integers and f64.
 */
export function accumulationOf(
  accumulate: string | undefined,
  { name }: ReduceOp,
  dtypes: readonly DataType[],
): { accumulate?: "f32" } {
  if (accumulate === undefined) return {};
  const other = dtypes.find((dtype) => !isFloat(dtype) || dtype === "f64");
  if (accumulate !== "f32" || other || !["sum", "avg", "premul-sum"].includes(name)) {
    const text = `accumulate is ${JSON.stringify(accumulate)}, for ${name} of ${other ?? dtypes[0]}`;
    throw new TypeError(`${text}: there is "f32" alone, for sums of floats up to f32`);
  }
  return dtypes.every((dtype) => dtype === "f32") ? {} : { accumulate };
}

/** Does `op` change each input before the fold (AVG scales floats, PREMUL_SUM everything)? */
export function changesInputs(op: ReduceOp, dtype: DataType): boolean {
  return op.name === "premul-sum" || (op.name === "avg" && isFloat(dtype));
}

/** False only for a custom operation that said so: then ranks must be folded in order. */
export function isCommutative(op: ReduceOp): boolean {
  return op.name !== "custom" || op.commutative;
}

function isWhole(factor: number | bigint): boolean {
  return typeof factor === "bigint" || Number.isInteger(factor);
}

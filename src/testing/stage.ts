/**
 * One conformance case on one rank: it lays out tensors between guard bytes, says what each must hold afterwards, and
 * compares.
 */
import type { ProcessGroup } from "../process-group.ts";
import type { ReduceOp } from "../reduce-op.ts";
import { bytesPerElement, type DataType, type HostArray, type Tensor } from "../types.ts";
import { type CaseData, type CaseOp, type DataKey, type Inputs, opOfRank } from "./case-data.ts";
import { bytesOf, digest } from "./digest.ts";
import { viewOf } from "./reference.ts";

/** Which case: what `conformanceCase` takes. */
export interface CaseSpec {
  readonly collective: string;
  readonly dtype: DataType;
  /** null where nothing is reduced. */
  readonly op: CaseOp | null;
  /** Elements of the smallest unit: of a tensor, of one rank's share, or about so many where lengths differ. */
  readonly count: number;
  readonly seed: number;
  /** Default: "exact". */
  readonly inputs?: Inputs;
}

/** "allReduce f32 sum count 17 seed 1". */
export function nameOf({ collective, dtype, op, count, seed }: CaseSpec): string {
  return `${collective} ${dtype}${op ? ` ${op}` : ""} count ${count} seed ${seed}`;
}

/** The group did something other than it must. */
export class ConformanceError extends Error {
  override readonly name = "ConformanceError";
}

/** What a case left behind. Digests are SHA-256 in hexadecimal. */
export interface CaseResult {
  /** Of all tensors of this rank. */
  own(): Promise<string>;
  /** Of the tensors that must be equal on all ranks. */
  shared(): Promise<string>;
}

interface Placed {
  readonly memory: Uint8Array;
  readonly data: HostArray;
  becomes: HostArray;
  readonly shared: boolean;
}

const GUARD = 0xa5;
/** Bytes kept free on each side of a tensor, at least. */
const GUARD_BYTES = 16;

/** One case on one rank. */
export class Stage {
  readonly group: ProcessGroup;
  readonly spec: CaseSpec;
  readonly #data: CaseData;
  readonly #placed: Placed[];

  constructor(group: ProcessGroup, spec: CaseSpec, data: CaseData, placed: Placed[] = []) {
    this.group = group;
    this.spec = spec;
    this.#data = data;
    this.#placed = placed;
  }

  get rank(): number {
    return this.group.rank;
  }

  get size(): number {
    return this.group.size;
  }

  get count(): number {
    return this.spec.count;
  }

  /** Every rank of the group, in order. */
  get ranks(): number[] {
    return Array.from({ length: this.size }, (_, rank) => rank);
  }

  /** A root that differs from case to case. */
  get root(): number {
    return (this.spec.seed + this.spec.count + this.spec.dtype.length) % this.size;
  }

  /** This rank's operation. */
  get op(): ReduceOp {
    return opOfRank(this.spec.op as CaseOp, this.spec.dtype, this.rank);
  }

  /** A length for place `index` of a list whose lengths differ; 0 for all if the count is 0. */
  uneven(index: number): number {
    return this.count === 0 ? 0 : this.count - 1 + ((2 * index + this.spec.seed) % 3);
  }

  /** The same tensors, with data of another kind: another dtype or operation, or of another group. */
  as(change: Partial<CaseSpec>, group = this.group): Stage {
    return new Stage(group, { ...this.spec, ...change }, this.#data, this.#placed);
  }

  /** The input of `rank`: elements `start` to `start + count`. */
  input(rank: number, count = this.count, start = 0): HostArray {
    return this.#data.input(this.#key, rank, start + count).subarray(start);
  }

  /** The reduction of all ranks' inputs, the same elements. */
  reduced(count = this.count, start = 0): HostArray {
    return this.#data.total(this.#key, start + count).subarray(start);
  }

  /** The fold of the inputs of ranks 0 to `last`. */
  prefix(last: number, count = this.count): HostArray {
    return this.#data.prefix(this.#key, last, count);
  }

  /** A tensor that holds `data`, and must still hold it afterwards, or `becomes`. */
  tensor(data: HostArray, becomes = data, shared = false): Tensor {
    return this.#place(data, becomes, shared);
  }

  /** A tensor of noise that must become `becomes`. */
  output(becomes: HostArray, shared = false): Tensor {
    return this.#place(null, becomes, shared);
  }

  /** Says after the call what an output must have become. */
  expect(tensor: Tensor, becomes: HostArray): void {
    const data = "data" in tensor ? tensor.data : tensor;
    for (const placed of this.#placed) if (placed.data === data) placed.becomes = becomes;
  }

  /** Elements `start` to `start + count` of a tensor, in the same memory. */
  part(tensor: Tensor, start: number, count: number): Tensor {
    if ("data" in tensor) return { ...tensor, data: tensor.data.subarray(start, start + count) };
    return (tensor as HostArray).subarray(start, start + count);
  }

  /** Throws unless `actual` and `expected` are the same as JSON, byte arrays as lists. */
  equal(what: string, actual: unknown, expected: unknown): void {
    const [left, right] = [text(actual), text(expected)];
    if (left !== right) throw new ConformanceError(`${this.#where()}: ${what}: expected ${right}, got ${left}`);
  }

  /** Throws unless every tensor holds what it must and the bytes around each are as they were. */
  finish(): CaseResult {
    this.#placed.forEach((placed, index) => {
      const difference = firstDifference(placed.data, placed.becomes);
      if (difference >= 0) {
        const [actual, expected] = [placed.data, placed.becomes].map((array) => elementText(array, difference));
        const where = `tensor ${index} of ${this.#placed.length}, element ${difference} of ${placed.data.length}`;
        throw new ConformanceError(`${this.#where()}: ${where}: expected ${expected}, got ${actual}`);
      }
      const { byteOffset, byteLength } = placed.data;
      const before = placed.memory.subarray(0, byteOffset);
      const after = placed.memory.subarray(byteOffset + byteLength);
      if (![before, after].every((guard) => guard.every((byte) => byte === GUARD))) {
        throw new ConformanceError(`${this.#where()}: bytes beside tensor ${index} were overwritten`);
      }
    });
    const placed = this.#placed;
    return {
      own: () => digest(placed.map(({ data }) => data)),
      shared: () => digest(placed.filter(({ shared }) => shared).map(({ data }) => data)),
    };
  }

  get #key(): DataKey {
    const { dtype, op, inputs = "exact", seed } = this.spec;
    return { dtype, op, inputs, size: this.size, seed };
  }

  #where(): string {
    return `${nameOf(this.spec)}, rank ${this.rank} of ${this.size}`;
  }

  #place(data: HostArray | null, becomes: HostArray, shared: boolean): Tensor {
    const { dtype } = this.spec;
    // One element past the start of a 16-byte line, so that kernels meet data that is not aligned for them.
    const start = GUARD_BYTES + bytesPerElement(dtype);
    const memory = new Uint8Array(Math.ceil((start + becomes.byteLength + GUARD_BYTES) / 8) * 8).fill(GUARD);
    const view = viewOf(dtype, memory.buffer, start, becomes.length);
    if (data) bytesOf(view).set(bytesOf(data));
    this.#placed.push({ memory, data: view, becomes, shared });
    return dtype === "f16" || dtype === "bf16" ? { data: view, dtype } : view;
  }
}

function text(value: unknown): string {
  const plain = (inner: unknown): unknown => {
    if (ArrayBuffer.isView(inner)) return Array.from(bytesOf(inner));
    if (Array.isArray(inner)) return inner.map(plain);
    if (typeof inner !== "object" || inner === null) return inner;
    return Object.fromEntries(Object.entries(inner).map(([key, value]) => [key, plain(value)]));
  };
  return JSON.stringify(plain(value)) ?? "undefined";
}

/** The index of the first element whose bits differ, or -1. */
function firstDifference(left: HostArray, right: HostArray): number {
  if (left.length !== right.length) return Math.min(left.length, right.length);
  const byte = left.BYTES_PER_ELEMENT >= 4 ? 4 * differingWord(left, right) : differingByte(left, right);
  return byte < 0 ? -1 : Math.floor(byte / left.BYTES_PER_ELEMENT);
}

// Two loops over one class each, which run several times faster than one over both.
function differingWord(left: HostArray, right: HostArray): number {
  const a = new Uint32Array(left.buffer, left.byteOffset, left.byteLength / 4);
  const b = new Uint32Array(right.buffer, right.byteOffset, right.byteLength / 4);
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return index;
  return -1;
}

function differingByte(left: HostArray, right: HostArray): number {
  const [a, b] = [bytesOf(left), bytesOf(right)];
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return index;
  return -1;
}

/** "1.5 (0x3fc00000)". */
function elementText(array: HostArray, index: number): string {
  if (index >= array.length) return "nothing";
  const bytes = bytesOf(array.subarray(index, index + 1));
  return `${array[index]} (0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .reverse()
    .join("")})`;
}

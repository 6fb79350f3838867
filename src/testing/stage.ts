/**
 * One conformance case on one rank: it lays out tensors between guard bytes, notes the contents that each must have afterwards, and
 * compares.
 */
import { PERSISTENT_COLLECTIVES, type PersistentCall, type PersistentCollective } from "../group/persistent-call.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import type { ReduceOp } from "../reduce-op.ts";
import type { DataType, HostArray, Tensor } from "../types.ts";
import type { CaseData, DataKey, Inputs } from "./case-data.ts";
import { type CaseOp, opOfRank } from "./case-op.ts";
import { bytesOf, digest } from "./digest.ts";
import { GUARD, GUARD_BYTES, type Placement, type TestMemory } from "./memory.ts";
import { viewOf } from "./reference.ts";

/** One case, as `conformanceCase` takes it. */
export interface CaseSpec {
  /** One of CASE_COLLECTIVES. */
  readonly collective: string;
  /** The type of the elements. */
  readonly dtype: DataType;
  /** null where nothing is reduced. */
  readonly op: CaseOp | null;
  /** Elements of the smallest unit: of a tensor, of one rank's share, or about so many where lengths differ. */
  readonly count: number;
  /** Other data for each. */
  readonly seed: number;
  /** Default: "exact". */
  readonly inputs?: Inputs;
  /** Every collective is a persistent call, started twice on the same tensors. Default: false. */
  readonly persistent?: boolean;
}

/** The collectives of a group that may be persistent calls. */
export type Calls = {
  readonly [C in PersistentCollective]: (...args: Parameters<ProcessGroup[C]>) => PromiseLike<void>;
};

/** "allReduce f32 sum count 17 seed 1". */
export function nameOf({ collective, dtype, op, count, seed, persistent }: CaseSpec): string {
  return `${persistent ? "persistent " : ""}${collective} ${dtype}${op ? ` ${op}` : ""} count ${count} seed ${seed}`;
}

/** The group did something other than it must. */
export class ConformanceError extends Error {
  /** The name of the class. */
  override readonly name = "ConformanceError";
}

/** The tensors that a case left behind. Digests are SHA-256 in hexadecimal. */
export interface CaseResult {
  /** Of all tensors of this rank. */
  own(): Promise<string>;
  /** Of the tensors that must be equal on all ranks. */
  shared(): Promise<string>;
}

/** A tensor, and where it lies in its region. */
interface Placed extends Placement {
  readonly dtype: DataType;
  readonly start: number;
  readonly before: HostArray;
  becomes: HostArray;
  readonly shared: boolean;
}

/** The case and the group of a stage; `conformanceCase` makes one for each rank. */
export interface StageOptions {
  group: ProcessGroup;
  spec: CaseSpec;
  data: CaseData;
  memory: TestMemory;
}

/** One case on one rank. */
export class Stage {
  readonly group: ProcessGroup;
  readonly spec: CaseSpec;
  readonly memory: TestMemory;
  readonly #data: CaseData;
  readonly #placed: Placed[];

  constructor({ group, spec, data, memory }: StageOptions, placed: Placed[] = []) {
    this.group = group;
    this.spec = spec;
    this.memory = memory;
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

  /** A length for entry `index` of a list whose lengths differ; 0 for all if the count is 0. */
  uneven(index: number): number {
    return this.count === 0 ? 0 : this.count - 1 + ((2 * index + this.spec.seed) % 3);
  }

  /** The group's collectives, for a case that awaits each. */
  get calls(): Calls {
    return this.spec.persistent ? this.#persistent(2) : this.group;
  }

  /** The group's collectives, for a case that makes several at once. */
  get callsOnce(): Calls {
    return this.spec.persistent ? this.#persistent(1) : this.group;
  }

  /** Each call is made persistent, started so many times on the same tensors with the same contents, and freed. */
  #persistent(starts: 1 | 2): Calls {
    const calls = this.group.persistent as { [C in PersistentCollective]: (...args: never[]) => PersistentCall };
    const run = async (call: PersistentCall) => {
      await call.start();
      if (starts === 2) {
        for (const { refill } of this.#placed) refill();
        await call.start();
      }
      call.free();
    };
    return Object.fromEntries(
      PERSISTENT_COLLECTIVES.map((name) => [name, (...args: never[]) => run(calls[name](...args))]),
    ) as unknown as Calls;
  }

  /** The same tensors, with data of another kind: another dtype or operation, or of another group. */
  as(change: Partial<CaseSpec>, group = this.group): Stage {
    const { memory, spec } = this;
    return new Stage({ group, spec: { ...spec, ...change }, data: this.#data, memory }, this.#placed);
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

  /** Sets, after the call, the contents that an output must have. */
  expect(tensor: Tensor, becomes: HostArray): void {
    for (const placed of this.#placed) if (placed.tensor === tensor) placed.becomes = becomes;
  }

  /**
   * Elements `start` to `start + count` of a tensor, in the same memory; null where there can be no such tensor. A case that
   * needs one then runs with an output of its own.
   */
  part(tensor: Tensor, start: number, count: number): Tensor | null {
    const placed = this.#placed.find((one) => one.tensor === tensor);
    if (!placed) throw new TypeError("the tensor is of another stage");
    return placed.part(start, count);
  }

  /** Throws unless `actual` and `expected` are the same as JSON, byte arrays as lists. */
  equal(what: string, actual: unknown, expected: unknown): void {
    const [left, right] = [text(actual), text(expected)];
    if (left !== right) throw new ConformanceError(`${this.#where()}: ${what}: expected ${right}, got ${left}`);
  }

  /** Throws unless every tensor has its expected contents and the bytes around each are as they were. */
  finish(): Promise<CaseResult> {
    return this.#compare(({ becomes }) => becomes);
  }

  /** {@link Stage.finish} after a call that was refused: a tensor is as it was, or done, if it was another call's. */
  async finishRefused(): Promise<CaseResult> {
    const expectedOf = ({ before, becomes }: Placed, actual: HostArray) =>
      firstDifference(actual, before) < 0 ? before : becomes;
    return { ...(await this.#compare(expectedOf)), shared: () => digest([]) };
  }

  /** {@link Stage.finish} after a call that moves nothing. */
  finishUnchanged(): Promise<CaseResult> {
    return this.#compare(({ before }) => before);
  }

  async #compare(expectedOf: (placed: Placed, actual: HostArray) => HostArray): Promise<CaseResult> {
    const placed = this.#placed;
    const regions = await this.memory.collect(placed);
    const results = placed.map((one, index) => {
      const { dtype, start } = one;
      const region = regions[index];
      if (!region) throw new ConformanceError(`${this.#where()}: tensor ${index} was not read back`);
      const actual = viewOf(dtype, region.buffer as ArrayBuffer, start, one.before.length);
      const expected = expectedOf(one, actual);
      const difference = firstDifference(actual, expected);
      if (difference >= 0) {
        const where = `tensor ${index} of ${placed.length}, element ${difference} of ${actual.length}`;
        const [wanted, got] = [expected, actual].map((array) => elementText(array, difference));
        throw new ConformanceError(`${this.#where()}: ${where}: expected ${wanted}, got ${got}`);
      }
      const guards = [region.subarray(0, start), region.subarray(start + actual.byteLength)];
      if (!guards.every((guard) => guard.every((byte) => byte === GUARD))) {
        throw new ConformanceError(`${this.#where()}: bytes beside tensor ${index} were overwritten`);
      }
      return actual;
    });
    return {
      own: () => digest(results),
      shared: () => digest(results.filter((_, index) => placed[index]?.shared)),
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
    const start = this.memory.startOf(dtype);
    const end = start + becomes.byteLength;
    const region = new Uint8Array(Math.ceil((end + GUARD_BYTES) / 8) * 8).fill(GUARD);
    if (data) region.set(bytesOf(data), start);
    const before = data ?? viewOf(dtype, region.buffer, start, becomes.length);
    const placement = this.memory.place(dtype, region, start, end);
    this.#placed.push({ ...placement, dtype, start, before, becomes, shared });
    return placement.tensor;
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
  const word = differingWord(wordsOf(left), wordsOf(right));
  if (word < 0) return -1;
  // A word may be several elements.
  let index = Math.floor((4 * word) / left.BYTES_PER_ELEMENT);
  while (elementText(left, index) === elementText(right, index)) index++;
  return index;
}

// A loop over one class, which runs several times faster than one over all.
function differingWord(a: Uint32Array, b: Uint32Array): number {
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return index;
  return -1;
}

/** The array's bytes in words; the last may end in zeros. To compare words takes a fourth of the time. */
function wordsOf(array: HostArray): Uint32Array {
  if (array.BYTES_PER_ELEMENT >= 4) return new Uint32Array(array.buffer, array.byteOffset, array.byteLength / 4);
  const words = new Uint32Array(Math.ceil(array.byteLength / 4));
  bytesOf(words).set(bytesOf(array));
  return words;
}

/** "1.5 (0x3fc00000)". */
function elementText(array: HostArray, index: number): string {
  if (index >= array.length) return "nothing";
  const bytes = bytesOf(array.subarray(index, index + 1));
  return `${array[index]} (0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .reverse()
    .join("")})`;
}

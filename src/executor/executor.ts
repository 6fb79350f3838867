/**
 * Executor: in which memory does a tensor live, and who adds two of them?
 *
 * Algorithms see tensors as {@link Span}s and use these verbs only, so they are written once for every memory kind.
 * Work on spans happens in the order it was asked for: a `read` sees every `reduce` and `copy` before it.
 */
import type { ReduceOp } from "../reduce-op.ts";
import type { TensorView } from "../tensor/view.ts";
import type { DataType, Tensor } from "../types.ts";
import type { Checksums } from "../wire/checksum.ts";

/** A run of elements in an executor's memory. Only the executor that made it knows where they lie. */
export interface Span {
  /** The type of its elements. */
  readonly dtype: DataType;
  /** How many elements it has. */
  readonly count: number;
  /** How many bytes these take. */
  readonly byteLength: number;
}

/** Bytes on loan between an executor and a transport. `release` ends the loan; afterwards `bytes` must not be used. */
export interface Lease {
  /** The bytes, valid until `release`. */
  readonly bytes: Uint8Array;
  /** Ends the loan. */
  release(): void;
}

/** An executor whose spans' bytes are in host memory: there is nothing to wait for. */
export interface HostExecutor extends Executor {
  read(span: Span): Lease;
  receive(span: Span): Lease;
  write(span: Span, lease: Lease): void;
  /** Checksums of bytes wherever they lie, fastest of this executor's. Loaded when they are first wanted. */
  openChecksums(): Promise<Checksums>;
  /** Loads the loops for 8-bit floats, custom operations and `fill`, which `admit` otherwise does for a call that needs them. */
  loadRareLoops(): Promise<void>;
}

/** An executor in whose memory the executors of other ranks work too. */
export interface AddressableExecutor extends HostExecutor {
  /** Where the span lies in the memory that the ranks share, or -1 if it lies elsewhere. */
  addressOf(span: Span): number;
  /** The span at an address of that memory, which another rank may have given. */
  spanAt(address: number, dtype: DataType, count: number): Span;
  /** Every target = ((x0 op x1) op x2) … over the operands, in one pass. A target may be an operand, else it is disjoint from all. */
  reduceInto(op: ReduceOp, targets: readonly Span[], operands: readonly Span[]): void;
}

/**
 * A span on loan to another executor of the same thread, in place of its bytes. `release` is called when every command
 * that reads it has been queued: the commands that the lender queues from then on come after them.
 */
export interface Handle {
  /** Bytes of the span. */
  readonly byteLength: number;
  /** The memory both must have, such as a GPUDevice. */
  readonly memory: object;
  /** The elements on loan. */
  readonly span: Span;
  /** The bytes, for a borrower without that memory. */
  read(): Lease | Promise<Lease>;
  /** Ends the loan. */
  release(): void;
}

/** Copies between many spans and one that has room for all, which is disjoint from them. */
export interface Packing {
  /** `whole` becomes what the parts hold. */
  pack(whole: Span): void;
  /** The parts become what `whole` holds. */
  unpack(whole: Span): void;
}

/** How much of a call is under way at once. */
export interface Flow {
  /** Bytes of a segment. */
  readonly segmentBytes: number;
  /** Segments that are under way at once. */
  readonly segments: number;
  /** Segments of scratch that each of them takes. */
  readonly scratch: number;
}

/** Undefined, or a promise of how many segments may be under way, which is undefined where nobody asked. */
export type Admission = undefined | Promise<number | undefined>;

/** The memory and the arithmetic of one device. */
export interface Executor {
  /** "cpu", "webgpu". */
  readonly name: string;
  /** A hash of a kernel self-test: equal ids give equal bits for every operation. See docs/arithmetic.md. */
  readonly arithmeticId: string;
  /** Its line in `info()`, such as "wasm-simd" or "plain loops: WebAssembly is blocked". */
  readonly description: string;

  /** Where its tensors lie. */
  readonly memoryKind: "host" | "gpu";
  /**
   * The elements of a tensor.
   * @throws TypeError if it lies in other memory.
   */
  span(view: TensorView): Span;
  /** Elements `start` to `start + count` of `span`, sharing its memory. */
  slice(span: Span, start: number, count: number): Span;
  /** Memory for intermediate results, contents undefined. Give it back with `release`. */
  scratch(dtype: DataType, count: number): Span;
  /** Gives back what `scratch` gave. */
  release(scratch: Span): void;
  /** A tensor that this executor reduces without copying it first. Freed with the array; a GPUBuffer by its `destroy()`. */
  alloc(dtype: DataType, count: number): Tensor;

  /**
   * Refuses, before anything is sent, work that this executor cannot do: reducing `spans` with `op` (all spans have one dtype), or
   * with no `op`, moving them. Sets memory aside for `flow`, if it is given, and resolves to how many segments may be under
   * way: fewer than asked for where memory is short. Undefined if there is nothing to wait for.
   * @throws UnsupportedError naming dtype, op and an executor that can; TypeError for a custom operation that does not compile
   * or a buffer that is not usable here; RangeError if there is no memory.
   */
  admit(spans: readonly Span[], op: ReduceOp | null, flow?: Flow): Admission;

  /** Memory that another executor of this thread may share and copy from without bytes in between; null if there is none. */
  readonly handleMemory: object | null;
  /** The bytes of `span`, little-endian, to be sent. */
  read(span: Span): Lease | Promise<Lease>;
  /** Room for `span.byteLength` bytes that arrive for `span`; `write` then makes them its contents. */
  receive(span: Span): Lease;
  /** Makes the bytes received in `lease` the contents of `span`, and ends the loan. */
  write(span: Span, lease: Lease): void | Promise<void>;

  /** target = source. Equal counts and dtypes; the spans are the same or disjoint. `source` may be another executor's of the same `handleMemory`. */
  copy(target: Span, source: Span): void;
  /** Copies between `parts` and one span of their dtype, in which `parts[i]` has the elements from `starts[i]` on. For calls that are repeated. */
  packing(parts: readonly Span[], starts: readonly number[]): Packing;
  /** target = left op right, element by element. `target` may be `left` or `right`, else it is disjoint from both. */
  reduce(op: ReduceOp, target: Span, left: Span, right: Span): void;
  /**
   * target = ((x0 op x1) op x2) …, in one pass where the executor can. `target` may be one of the operands, which are
   * otherwise kept, else it is disjoint from all.
   */
  reduceMany(op: ReduceOp, target: Span, operands: readonly Span[]): void;
  /**
   * Does the part of `op` that comes before the fold to one input: AVG on floats times fround(1/size), PREMUL_SUM times the
   * factor, else nothing. Returns the span that stands for the input from then on, for reading only: `input` itself, changed
   * in place, or a view of it whose elements are changed as they are read.
   */
  prepare(op: ReduceOp, input: Span, size: number): Span;
  /** As {@link prepare}, and `input` keeps its elements: the result is a view or a copy. Give it back with `release`. */
  prepared(op: ReduceOp, input: Span, size: number): Span;
  /** Does the part of `op` that comes after the fold, in place: AVG on integers divides by size and truncates, else nothing. */
  finish(op: ReduceOp, span: Span, size: number): void;
  /** Sets every element to `value`. */
  fill(span: Span, value: number | bigint): void;

  /** Resolves when all work asked for so far is done; rejects if any of it failed. */
  settled(): Promise<void>;
  /** Gives all memory back. The executor cannot be used afterwards. */
  dispose(): Promise<void>;
}

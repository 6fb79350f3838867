/**
 * The kernels in WebAssembly SIMD (wasm/), and their memory.
 *
 * Operands inside that memory are reduced in place. Others pass through it in blocks that stay in the cache, which
 * costs two or three copies and still beats a plain loop, 64-bit division apart (docs/arithmetic.md has the figures).
 */
import { textOf } from "../../support/thrown.ts";
import { DATA_TYPES, type DataType } from "../../types.ts";
import type { Packing } from "../executor.ts";
import { type HostSpan, OUTSIDE } from "./host-span.ts";
import { type FoldName, type Kernels, signedLane } from "./kernels.ts";
import { RunKernels } from "./packing/table-packing.ts";
import { MODULE } from "./wasm-kernels.generated.ts";
import { WasmMemory } from "./wasm-memory.ts";
import { type Exports, foldKernels, inflate, instantiate } from "./wasm-module.ts";

/** Bytes of each operand that pass through WebAssembly memory at a time; from 32 KiB on larger ones gain nothing. */
const BLOCK_BYTES = 32_768;
/** The least that a kernel takes: one vector. */
const KERNEL_MINIMUM_BYTES = 16;

type Fold = (target: number, left: number, right: number, bytes: number) => void;
type Scale = (target: number, factor: number | bigint, bytes: number) => void;
type Divide = (target: number, divisor: number, bytes: number) => void;
type Move = (target: number, source: number, bytes: number) => void;

/** A table over all dtypes. */
function perDtype<T>(entry: (dtype: DataType) => T): Readonly<Record<DataType, T>> {
  return Object.fromEntries(DATA_TYPES.map((dtype) => [dtype, entry(dtype)])) as Record<DataType, T>;
}

/** Kernels in WebAssembly. */
export class WasmKernels implements Kernels {
  readonly description: string;
  readonly memory: WasmMemory;
  readonly #folds: Readonly<Record<DataType, Readonly<Record<FoldName, Fold>>>>;
  readonly #move: Move;
  readonly #scales: Readonly<Record<DataType, Scale>>;
  readonly #divides: Readonly<Record<DataType, Divide>>;
  readonly #runs: RunKernels;
  /** Room for a block of the left operand, which becomes the result, and of the right one. */
  readonly #leftBlock: number;
  readonly #rightBlock: number;
  readonly #leftBytes: Uint8Array;
  readonly #rightBytes: Uint8Array;

  private constructor(memory: WasmMemory, exports: Exports) {
    this.memory = memory;
    this.#folds = perDtype((dtype) => foldKernels<Fold>(exports, dtype));
    this.#move = exports.move as Move;
    this.#scales = perDtype((dtype) => exports[`scale_${signedLane(dtype)}`] as Scale);
    this.#divides = perDtype((dtype) => exports[`divide_${dtype}`] as Divide);
    this.#runs = new RunKernels(memory, exports);
    this.description = memory.shared ? "wasm-simd" : "wasm-simd, memory not shared";
    const roomBytes = BLOCK_BYTES + KERNEL_MINIMUM_BYTES;
    this.#leftBlock = memory.allocate(roomBytes);
    this.#rightBlock = memory.allocate(roomBytes);
    this.#leftBytes = memory.bytesAt(this.#leftBlock, roomBytes);
    this.#rightBytes = memory.bytesAt(this.#rightBlock, roomBytes);
  }

  /** Compiles the module, to work in `given` if that is there, or says in one phrase why it cannot be. */
  static async load(given?: WebAssembly.Memory): Promise<WasmKernels | string> {
    if (typeof WebAssembly === "undefined") return "WebAssembly is missing";
    if (typeof DecompressionStream === "undefined") return "DecompressionStream is missing";
    const bytes = await inflate(MODULE);
    if (!WebAssembly.validate(bytes)) return "WebAssembly has no SIMD";
    try {
      const memory = new WasmMemory(given);
      return new WasmKernels(memory, await instantiate(MODULE, memory, bytes));
    } catch (error) {
      // A content security policy without wasm-unsafe-eval, or no memory to be had.
      return `WebAssembly is blocked (${textOf(error)})`;
    }
  }

  fold(name: FoldName, target: HostSpan, left: HostSpan, right: HostSpan): void {
    const kernel = this.#folds[target.dtype][name];
    const { byteLength } = target;
    if (isInside(target) && isInside(left) && isInside(right)) {
      kernel(target.pointer, left.pointer, right.pointer, byteLength);
      return;
    }
    for (let start = 0, end = 0; start < byteLength; start = end) {
      end = blockEnd(start, byteLength);
      const leftAt = isInside(left) ? left.pointer + start : this.#leftBlock;
      const rightAt = isInside(right) ? right.pointer + start : this.#rightBlock;
      const targetAt = isInside(target) ? target.pointer + start : this.#leftBlock;
      if (leftAt === this.#leftBlock) this.#leftBytes.set(left.bytes.subarray(start, end));
      if (rightAt === this.#rightBlock) this.#rightBytes.set(right.bytes.subarray(start, end));
      kernel(targetAt, leftAt, rightAt, Math.max(end - start, KERNEL_MINIMUM_BYTES));
      if (targetAt === this.#leftBlock) target.bytes.set(this.#leftBytes.subarray(0, end - start), start);
    }
  }

  /** target = source, both inside the memory. */
  move(target: HostSpan, source: HostSpan): void {
    this.#move(target.pointer, source.pointer, target.byteLength);
  }

  packing(parts: readonly HostSpan[], starts: readonly number[]): Packing {
    return this.#runs.packing(parts, starts);
  }

  scale(span: HostSpan, factor: number | bigint): void {
    const kernel = this.#scales[span.dtype];
    this.#update(span, (address, bytes) => kernel(address, factor, bytes));
  }

  divide(span: HostSpan, divisor: number): void {
    const kernel = this.#divides[span.dtype];
    this.#update(span, (address, bytes) => kernel(address, divisor, bytes));
  }

  /** Runs a kernel that changes a span in place. */
  #update(span: HostSpan, kernel: (address: number, bytes: number) => void): void {
    const { pointer, bytes, byteLength } = span;
    if (isInside(span)) {
      kernel(pointer, byteLength);
      return;
    }
    for (let start = 0, end = 0; start < byteLength; start = end) {
      end = blockEnd(start, byteLength);
      this.#leftBytes.set(bytes.subarray(start, end));
      kernel(this.#leftBlock, Math.max(end - start, KERNEL_MINIMUM_BYTES));
      bytes.set(this.#leftBytes.subarray(0, end - start), start);
    }
  }
}

/** Can a kernel take the span where it is? One shorter than a vector goes through a block, whatever follows it there. */
function isInside(span: HostSpan): boolean {
  return span.pointer !== OUTSIDE && span.byteLength >= KERNEL_MINIMUM_BYTES;
}

/** Where the block that begins at `start` ends. The last one is longer, if the rest behind it is too short for a kernel. */
function blockEnd(start: number, byteLength: number): number {
  const end = start + BLOCK_BYTES;
  return byteLength - end < KERNEL_MINIMUM_BYTES ? byteLength : end;
}

/**
 * The kernels in WebAssembly SIMD (wasm/), and the memory they work in.
 *
 * Operands inside that memory are reduced in place. Others pass through it in blocks that stay in the cache, which
 * costs two or three copies and still beats a plain loop, 64-bit division apart (docs/arithmetic.md has the figures).
 */
import { DATA_TYPES, type DataType } from "../types.ts";
import { type HostSpan, OUTSIDE } from "./host-span.ts";
import { FOLD_NAMES, type FoldName, type Kernels, signedLane } from "./kernels.ts";
import { WasmMemory } from "./wasm-memory.ts";
import { MEMORY_LIMITS_OFFSET, WASM_DEFLATED_BASE64 } from "./wasm-module.generated.ts";

/** Bytes of each operand that pass through WebAssembly memory at a time; from 32 KiB on larger ones gain nothing. */
const BLOCK_BYTES = 32_768;
/** What a kernel needs: one vector. */
const KERNEL_MINIMUM_BYTES = 16;
const UNSHARED_WITH_MAXIMUM = 1;

/** Most addresses of one `foldMany`. */
const TABLE_LENGTH = 256;
/** What `foldMany` needs of f16 and bf16, and of every other dtype. */
const MANY_MINIMUM_BYTES = 64;

type Fold = (target: number, left: number, right: number, bytes: number) => void;
type Scale = (target: number, factor: number | bigint, bytes: number) => void;
type Divide = (target: number, divisor: number, bytes: number) => void;
type Many = (table: number, sources: number, targets: number, bytes: number) => void;
type Move = (target: number, source: number, bytes: number) => void;
type Exports = Readonly<Record<string, unknown>>;

async function inflate(base64: string): Promise<Uint8Array<ArrayBuffer>> {
  const deflated = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const inflated = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(inflated).arrayBuffer());
}

/** A module that imports shared memory takes no other: this is the same module for memory that is not shared. */
function forUnsharedMemory(module: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const patched = module.slice();
  patched[MEMORY_LIMITS_OFFSET] = UNSHARED_WITH_MAXIMUM;
  return patched;
}

/** The exports that fold `dtype`, by operation; `prefix` is that of their names. */
function foldKernels<K>(exports: Exports, prefix: string, dtype: DataType): Readonly<Record<FoldName, K>> {
  const kernels = FOLD_NAMES.map((name) => {
    const bitwise = name === "band" || name === "bor" || name === "bxor";
    const lane = bitwise ? "i8" : name === "min" || name === "max" ? dtype : signedLane(dtype);
    return [name, exports[`${prefix}${name}_${lane}`]];
  });
  return Object.fromEntries(kernels) as Record<FoldName, K>;
}

/** A table over all dtypes. */
function perDtype<T>(entry: (dtype: DataType) => T): Readonly<Record<DataType, T>> {
  return Object.fromEntries(DATA_TYPES.map((dtype) => [dtype, entry(dtype)])) as Record<DataType, T>;
}

/** Kernels in WebAssembly. */
export class WasmKernels implements Kernels {
  readonly description: string;
  readonly memory: WasmMemory;
  readonly #folds: Readonly<Record<DataType, Readonly<Record<FoldName, Fold>>>>;
  readonly #manies: Readonly<Record<DataType, Readonly<Record<FoldName, Many>>>>;
  readonly #move: Move;
  /** Where `foldMany` writes its addresses. */
  readonly #tableAt: number;
  readonly #table: Uint32Array;
  readonly #scales: Readonly<Record<DataType, Scale>>;
  readonly #divides: Readonly<Record<DataType, Divide>>;
  /** Room for a block of the left operand, which becomes the result, and of the right one. */
  readonly #leftBlock: number;
  readonly #rightBlock: number;
  readonly #leftBytes: Uint8Array;
  readonly #rightBytes: Uint8Array;

  private constructor(memory: WasmMemory, exports: Exports) {
    this.memory = memory;
    this.#folds = perDtype((dtype) => foldKernels<Fold>(exports, "", dtype));
    this.#manies = perDtype((dtype) => foldKernels<Many>(exports, "many_", dtype));
    this.#move = exports.move as Move;
    this.#tableAt = memory.allocate(TABLE_LENGTH * Uint32Array.BYTES_PER_ELEMENT);
    this.#table = new Uint32Array(memory.bufferTo(this.#tableAt), this.#tableAt, TABLE_LENGTH);
    this.#scales = perDtype((dtype) => exports[`scale_${signedLane(dtype)}`] as Scale);
    this.#divides = perDtype((dtype) => exports[`divide_${dtype}`] as Divide);
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
    const module = await inflate(WASM_DEFLATED_BASE64);
    if (!WebAssembly.validate(forUnsharedMemory(module))) return "WebAssembly has no SIMD";
    try {
      const memory = new WasmMemory(given);
      const imports = { env: { memory: memory.memory } };
      const { instance } = await WebAssembly.instantiate(memory.shared ? module : forUnsharedMemory(module), imports);
      return new WasmKernels(memory, instance.exports);
    } catch (error) {
      // A content security policy without wasm-unsafe-eval, or no memory to be had.
      return `WebAssembly is blocked (${error instanceof Error ? error.message : String(error)})`;
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

  /**
   * Every target = the left fold of the sources, in one pass: true. False, and nothing is done, if a span is short or
   * lies outside the memory, or if they are too many.
   */
  foldMany(name: FoldName, targets: readonly HostSpan[], sources: readonly HostSpan[]): boolean {
    const { dtype, byteLength } = targets[0]!;
    if (byteLength < MANY_MINIMUM_BYTES || targets.length + sources.length > TABLE_LENGTH) return false;
    let at = 0;
    for (const { pointer } of sources) {
      if (pointer === OUTSIDE) return false;
      this.#table[at++] = pointer;
    }
    for (const { pointer } of targets) {
      if (pointer === OUTSIDE) return false;
      this.#table[at++] = pointer;
    }
    this.#manies[dtype][name](this.#tableAt, sources.length, targets.length, byteLength);
    return true;
  }

  /** target = source, both inside the memory. */
  move(target: HostSpan, source: HostSpan): void {
    this.#move(target.pointer, source.pointer, target.byteLength);
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

/** Where the block that begins at `start` ends. The last one is longer, if what follows it is too short for a kernel. */
function blockEnd(start: number, byteLength: number): number {
  const end = start + BLOCK_BYTES;
  return byteLength - end < KERNEL_MINIMUM_BYTES ? byteLength : end;
}

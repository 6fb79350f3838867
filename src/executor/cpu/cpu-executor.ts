/**
 * The cpu executor: tensors in host memory, reduced by WebAssembly SIMD kernels or, where those may not run, by plain
 * loops with the same bits, or, where they are 8-bit floats, by tables. All of its verbs are synchronous.
 */
import type { ReduceOp } from "../../reduce-op.ts";
import { tensorOver } from "../../tensor/host.ts";
import type { TensorView } from "../../tensor/view.ts";
import { bytesPerElement, type DataType, type HostArray, isFloat, isFloat8, type Tensor } from "../../types.ts";
import type { Checksums } from "../../wire/checksum.ts";
import type { AddressableExecutor, Admission, HostExecutor, Lease, Packing, Span } from "../executor.ts";
import { HostSpan, LANE_ARRAY, OUTSIDE } from "./host-span.ts";
import { type FoldName, inputFactor, type Kernels } from "./kernels.ts";
import type { WasmKernels } from "./wasm-kernels.ts";
import type { ManyKernels } from "./wasm-many.ts";
import type { WasmMemory } from "./wasm-memory.ts";

/** Options of {@link createCpuExecutor}. */
export interface CpuExecutorOptions {
  /** False keeps to plain loops. Default: true, WebAssembly wherever it may run. */
  wasm?: boolean;
}

/** An executor for tensors in host memory. It works without WebAssembly too: see its `description`. */
export async function createCpuExecutor(options: CpuExecutorOptions = {}): Promise<HostExecutor> {
  const selfTest = import("../self-test.ts");
  // An executor has one kind of kernels or the other: neither is loaded where it may not run, or is not needed.
  const wasm = options.wasm === false ? "WebAssembly is switched off" : await loadWasmKernels();
  const kernels = typeof wasm === "string" ? new (await import("./plain-loops.ts")).PlainLoops(wasm) : wasm;
  return new CpuExecutor(kernels, typeof wasm === "string" ? null : wasm, (await selfTest).arithmeticIdOf(kernels));
}

/**
 * An executor in `memory`, where those of other threads work too, and its part of it; or in memory of its own, which others may
 * come to have a part of. Null where WebAssembly may not run.
 */
export async function createAddressableCpuExecutor(
  memory?: WebAssembly.Memory,
): Promise<{ executor: AddressableExecutor; heap: WasmMemory } | null> {
  const [{ arithmeticIdOf }, wasm] = await Promise.all([import("../self-test.ts"), loadWasmKernels(memory)]);
  if (typeof wasm === "string") return null;
  const executor = new CpuExecutor(wasm, wasm, arithmeticIdOf(wasm));
  await Promise.all([executor.loadMany(wasm.memory), executor.loadRareLoops()]);
  return { executor, heap: wasm.memory };
}

/** The kernels in WebAssembly, or why they may not run. */
async function loadWasmKernels(memory?: WebAssembly.Memory): Promise<WasmKernels | string> {
  const { WasmKernels } = await import("./wasm-kernels.ts");
  return WasmKernels.load(memory);
}

/** The fold of an operation, once `prepare` has done its part. */
function foldName(name: Exclude<ReduceOp["name"], "custom">, dtype: DataType): FoldName {
  if (isFloat(dtype) && (name === "band" || name === "bor" || name === "bxor")) {
    throw new TypeError(`reduce op ${name} is for integers, and the span is ${dtype}`);
  }
  return name === "avg" || name === "premul-sum" ? "sum" : name;
}

class CpuExecutor implements AddressableExecutor {
  readonly handleMemory = null;
  readonly name = "cpu";
  readonly memoryKind = "host";
  readonly arithmeticId: string;
  readonly #kernels: Kernels;
  readonly #wasm: WasmKernels | null;
  #many: ManyKernels | null = null;
  #manyLoading: Promise<void> | null = null;
  #rare: typeof import("./rare-loops.ts") | null = null;
  #rareLoading: Promise<void> | null = null;
  #checksums: Promise<Checksums> | null = null;

  constructor(kernels: Kernels, wasm: WasmKernels | null, arithmeticId: string) {
    this.#kernels = kernels;
    this.#wasm = wasm;
    this.arithmeticId = arithmeticId;
  }

  get description(): string {
    return this.#kernels.description;
  }

  span(view: TensorView): HostSpan {
    if (view.memory !== "host") throw new TypeError("the tensor is not in host memory: pass a typed array");
    return this.#spanOf(view.dtype, view.count, view.buffer, view.byteOffset);
  }

  slice(span: Span, start: number, count: number): HostSpan {
    const whole = this.#own(span);
    const { dtype, buffer, byteOffset } = whole;
    if (start < 0 || count < 0 || start + count > span.count) {
      throw new RangeError(`slice ${start} to ${start + count} of a span of ${span.count} elements`);
    }
    const at = byteOffset + start * bytesPerElement(dtype);
    if (whole.lastSlice?.count !== count || whole.lastSlice.byteOffset !== at) {
      whole.lastSlice = this.#spanOf(dtype, count, buffer, at);
    }
    return whole.lastSlice;
  }

  scratch(dtype: DataType, count: number): HostSpan {
    const byteLength = count * bytesPerElement(dtype);
    const memory = this.#wasm?.memory;
    const pointer = memory?.allocate(byteLength) ?? OUTSIDE;
    if (!memory || pointer === OUTSIDE) return new HostSpan(dtype, count, new ArrayBuffer(byteLength), 0, OUTSIDE);
    const span = new HostSpan(dtype, count, memory.bufferTo(pointer + byteLength), pointer, pointer);
    span.ownsBlock = true;
    return span;
  }

  release(scratch: Span): void {
    const span = this.#own(scratch);
    if (!span.ownsBlock) return;
    span.ownsBlock = false;
    this.#wasm?.memory.release(span.pointer, span.byteLength);
  }

  /** What may be reduced is known; the loops for it may have to be loaded. */
  admit(spans: readonly Span[], op: ReduceOp | null): Admission {
    const isRare = op !== null && (op.name === "custom" || spans.some(({ dtype }) => isFloat8(dtype)));
    return isRare && !this.#rare ? this.loadRareLoops().then(() => undefined) : undefined;
  }

  loadRareLoops(): Promise<void> {
    this.#rareLoading ??= import("./rare-loops.ts").then(
      ({ fillSpan, foldCustom, foldFloat8, scaleFloat8 }) => {
        this.#rare = { fillSpan, foldCustom, foldFloat8, scaleFloat8 };
      },
      (error) => {
        this.#rareLoading = null;
        throw error;
      },
    );
    return this.#rareLoading;
  }

  /** Those that {@link admit} has loaded. */
  get #rareLoops(): typeof import("./rare-loops.ts") {
    if (!this.#rare) throw new Error("the call was not admitted");
    return this.#rare;
  }

  /** The array is zero, as a new one is. Its memory is freed when it and every view of its buffer are gone. */
  alloc(dtype: DataType, count: number): Tensor {
    const byteLength = count * bytesPerElement(dtype);
    const owned = byteLength > 0 ? this.#wasm?.memory.allocateOwned(byteLength) : null;
    const { buffer, start } = owned ?? { buffer: new ArrayBuffer(byteLength), start: 0 };
    if (owned) new Uint8Array(buffer, start, byteLength).fill(0);
    return tensorOver(dtype, arrayOver(dtype, buffer, start, count));
  }

  read(span: Span): Lease {
    return this.#own(span);
  }

  receive(span: Span): Lease {
    return this.#own(span);
  }

  write(span: Span, lease: Lease): void {
    const { bytes } = this.#own(span);
    if (lease.bytes !== bytes) bytes.set(lease.bytes);
    lease.release();
  }

  openChecksums(): Promise<Checksums> {
    this.#checksums ??= import("../checksum/checksums.ts").then(({ loadChecksums }) =>
      loadChecksums(this.#wasm?.memory ?? null),
    );
    return this.#checksums;
  }

  copy(target: Span, source: Span): void {
    const to = this.#own(target);
    const from = this.#own(source);
    requireEqual(to, from);
    if (to === from) return;
    if (to.pointer !== OUTSIDE && from.pointer !== OUTSIDE) this.#wasm?.move(to, from);
    else to.bytes.set(from.bytes);
  }

  packing(parts: readonly Span[], starts: readonly number[]): Packing {
    return this.#kernels.packing(
      parts.map((part) => this.#own(part)),
      starts,
    );
  }

  reduce(op: ReduceOp, target: Span, left: Span, right: Span): void {
    const [t, l, r] = [this.#own(target), this.#own(left), this.#own(right)];
    requireEqual(t, l);
    requireEqual(t, r);
    if (t.count === 0) return;
    if (op.name === "custom") this.#rareLoops.foldCustom(op, t, l, r);
    else if (isFloat8(t.dtype)) this.#rareLoops.foldFloat8(foldName(op.name, t.dtype), t, l, r);
    else this.#kernels.fold(foldName(op.name, t.dtype), t, l, r);
  }

  reduceMany(op: ReduceOp, target: Span, operands: readonly Span[]): void {
    this.reduceInto(op, [target], operands);
  }

  addressOf(span: Span): number {
    return this.#own(span).pointer;
  }

  spanAt(address: number, dtype: DataType, count: number): HostSpan {
    const end = address + count * bytesPerElement(dtype);
    return new HostSpan(dtype, count, this.#wasm!.memory.bufferTo(end), address, address);
  }

  reduceInto(op: ReduceOp, targets: readonly Span[], operands: readonly Span[]): void {
    const first = this.#own(targets[0]);
    const into = this.#allLike(first, targets);
    const from = operands === targets ? into : this.#allLike(first, operands);
    if (first.count === 0) return;
    const hasKernel = op.name !== "custom" && !isFloat8(first.dtype);
    if (hasKernel && this.#foldMany(foldName(op.name, first.dtype), into, from)) return;
    this.#reduceByPairs(op, first, from);
    for (const target of into) this.copy(target, first);
  }

  /** Loads the kernels that fold in one pass; until then, and without them, folds go by pairs, with the same bits. */
  loadMany(memory: WasmMemory): Promise<void> {
    this.#manyLoading ??= import("./wasm-many.ts").then(async ({ ManyKernels }) => {
      this.#many = await ManyKernels.load(memory);
    });
    return this.#manyLoading;
  }

  /** True if it could be done in one pass. */
  #foldMany(name: FoldName, targets: readonly HostSpan[], sources: readonly HostSpan[]): boolean {
    if (this.#many) return this.#many.fold(name, targets, sources);
    // A pair gains nothing by it. Where the kernels cannot be had, such as offline, pairs do as well.
    if (this.#wasm && sources.length > 2) this.loadMany(this.#wasm.memory).catch(() => {});
    return false;
  }

  #reduceByPairs(op: ReduceOp, target: HostSpan, operands: readonly HostSpan[]): void {
    const [first, ...others] = operands;
    if (!first) return;
    if (others.length === 0) this.copy(target, first);
    // `target` may be an operand's own memory, so it is first written when that operand is used.
    const last = operands.findLastIndex(
      ({ buffer, byteOffset, pointer }) =>
        byteOffset === target.byteOffset &&
        (buffer === target.buffer || (pointer !== OUTSIDE && pointer === target.pointer)),
    );
    const scratch = last > 1 ? this.scratch(target.dtype, target.count) : null;
    let folded = first;
    for (const [i, operand] of others.entries()) {
      const result = scratch && i + 1 < last ? scratch : target;
      this.reduce(op, result, folded, operand);
      folded = result;
    }
    if (scratch) this.release(scratch);
  }

  /** @throws TypeError if `op` is PREMUL_SUM on integers and its factor is not a whole number. */
  prepare(op: ReduceOp, input: Span, size: number): HostSpan {
    const own = this.#own(input);
    const factor = inputFactor(op, own.dtype, size);
    if (factor === null || own.count === 0) return own;
    if (isFloat8(own.dtype)) this.#rareLoops.scaleFloat8(own, factor as number);
    else this.#kernels.scale(own, factor);
    return own;
  }

  prepared(op: ReduceOp, input: Span, size: number): HostSpan {
    const copy = this.scratch(input.dtype, input.count);
    this.copy(copy, input);
    return this.prepare(op, copy, size);
  }

  finish(op: ReduceOp, span: Span, size: number): void {
    const own = this.#own(span);
    if (op.name === "avg" && !isFloat(own.dtype) && own.count > 0) this.#kernels.divide(own, size);
  }

  /** @throws RangeError if the span is i64 or u64 and `value` is not a whole number. */
  fill(span: Span, value: number | bigint): void {
    this.#rareLoops.fillSpan(this.#own(span), value);
  }

  settled(): Promise<void> {
    return Promise.resolve();
  }

  /** Memory goes with the executor's last reference; arrays from `alloc` stay valid as long as they are held. */
  dispose(): Promise<void> {
    return Promise.resolve();
  }

  #spanOf(dtype: DataType, count: number, buffer: ArrayBufferLike, byteOffset: number): HostSpan {
    return new HostSpan(dtype, count, buffer, byteOffset, this.#wasm?.memory.addressOf(buffer, byteOffset) ?? OUTSIDE);
  }

  /** `spans`, each of which is this executor's and like `first`. */
  #allLike(first: HostSpan, spans: readonly Span[]): readonly HostSpan[] {
    for (const span of spans) requireEqual(first, this.#own(span));
    return spans as readonly HostSpan[];
  }

  #own(span: Span | undefined): HostSpan {
    if (!(span instanceof HostSpan)) throw new TypeError("the span belongs to another executor");
    return span;
  }
}

/** An array of the dtype's own class over `buffer`, else one of the elements' bits. */
function arrayOver(dtype: DataType, buffer: ArrayBufferLike, byteOffset: number, count: number): HostArray {
  const { Float16Array } = globalThis as {
    Float16Array?: new (...view: [ArrayBufferLike, number, number]) => HostArray;
  };
  return new ((dtype === "f16" && Float16Array) || LANE_ARRAY[dtype])(buffer, byteOffset, count);
}

function requireEqual(a: HostSpan, b: HostSpan): void {
  if (a.dtype !== b.dtype || a.count !== b.count) {
    throw new RangeError(`spans differ: ${a.count} of ${a.dtype} and ${b.count} of ${b.dtype}`);
  }
}

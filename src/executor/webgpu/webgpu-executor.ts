/** The verbs of the webgpu executor, as commands of its device. */
import type { ReduceOp } from "../../reduce-op.ts";
import type { TensorView } from "../../tensor/view.ts";
import { bytesPerElement, type DataType, type GpuTensor, isFloat } from "../../types.ts";
import { fillSpan } from "../cpu/custom-loop.ts";
import { HostSpan } from "../cpu/host-span.ts";
import { inputFactor } from "../cpu/kernels.ts";
import type { Admission, Flow, Lease, Packing, Span } from "../executor.ts";
import type { GpuExecutor, GpuMemory } from "../gpu-executor.ts";
import type { GpuStats } from "./batch.ts";
import type { DeviceUser, GpuDevice } from "./device.ts";
import { type Fold, type FoldLimits, foldCommand, planFold } from "./kernels/fold.ts";
import type { KernelWork } from "./kernels/source.ts";
import { bitsOf, foldWork, moveWork } from "./kernels/work-of-op.ts";
import { copyWords } from "./memory/copy.ts";
import { reserve } from "./memory/reserve.ts";
import { GpuSpan, requireEqual } from "./memory/span.ts";
import { HostMemory, Readback, wholeWords } from "./memory/staging.ts";
import type { Arithmetic } from "./self-test.ts";
import { TENSOR_USAGE } from "./usage.ts";

/** The most inputs that one pass folds: with the output that makes eight buffers, WebGPU's default limit. */
const MOST_INPUTS = 7;
const EMPTY: Lease = { bytes: new Uint8Array(0), release() {} };

/** Something computed, and the device's `sequence` when it was queued. */
interface Latest {
  readonly fold: Fold;
  readonly target: GpuSpan;
  readonly inputs: readonly GpuSpan[];
  readonly sequence: number;
  /** How many commands do it. */
  readonly commands: number;
}

/** See the file's head. */
export class WebgpuExecutor implements GpuExecutor {
  readonly name = "webgpu";
  readonly memoryKind = "gpu";
  get handleMemory(): GPUDevice {
    return this.device;
  }
  readonly arithmeticId: string;
  readonly description: string;
  readonly f16: "native" | "packed";
  readonly #device: GpuDevice;
  readonly #user: DeviceUser;
  readonly #limits: FoldLimits;
  readonly #close: () => void;
  readonly #hostMemory = new HostMemory();
  /** Readbacks of this generation, by span: a span that goes to several ranks is read once. */
  readonly #readbacks = new Map<Span, Readback>();
  #readbacksGeneration = -1;
  /** The last thing computed. */
  #latest: Latest | null = null;
  #isDisposed = false;

  constructor(
    user: DeviceUser,
    description: string,
    limits: Omit<FoldLimits, "nativeF16">,
    { id, f16, f16Note }: Arithmetic,
    close: () => void,
  ) {
    this.arithmeticId = id;
    this.description = `${description}, f16 ${f16}${f16Note === "" ? "" : ` (${f16Note})`}`;
    this.f16 = f16;
    this.#user = user;
    this.#device = user.device;
    this.#limits = { ...limits, nativeF16: f16 === "native" };
    this.#close = close;
  }

  get device(): GPUDevice {
    return this.#device.device;
  }

  get stats(): GpuStats {
    return this.#device.stats;
  }

  get memory(): GpuMemory {
    const { stats, staging, scratch } = this.#device;
    return { buffers: stats.liveBuffers, stagingBytes: staging.idleBytes, scratchBytes: scratch.idleBytes };
  }

  span(view: TensorView): GpuSpan {
    if (view.memory !== "gpu") {
      throw new TypeError("the tensor is not in GPU memory: pass { buffer, dtype } with a GPUBuffer");
    }
    return new GpuSpan(this.#device, view.dtype, view.count, view.buffer, view.byteOffset);
  }

  slice(span: Span, start: number, count: number): GpuSpan {
    return this.#own(span).slice(start, count);
  }

  scratch(dtype: DataType, count: number): GpuSpan {
    const bytes = Math.ceil((count * bytesPerElement(dtype)) / 4) * 4;
    const span = new GpuSpan(this.#device, dtype, count, this.#device.scratch.take(bytes), 0);
    span.lent = true;
    return span;
  }

  release(scratch: Span): void {
    const span = this.#own(scratch);
    if (!span.lent) return;
    span.lent = false;
    this.#device.scratch.give(span.buffer);
  }

  /** The elements are zero, as in a new buffer. It is the caller's: `buffer.destroy()` gives its memory back. */
  alloc(dtype: DataType, count: number): GpuTensor {
    const size = Math.max(4, Math.ceil((count * bytesPerElement(dtype)) / 4) * 4);
    return { buffer: this.device.createBuffer({ size, usage: TENSOR_USAGE }), dtype, count };
  }

  admit(spans: readonly Span[], op: ReduceOp | null, flow?: Flow): Admission {
    const own = spans.map((span) => this.#own(span));
    const [first] = own;
    const work = op === null || first === undefined ? null : foldWork(op, first.dtype);
    const buffers = [...new Set(own.filter(({ lent }) => !lent).map(({ buffer }) => buffer))];
    const waits: Promise<unknown>[] = [];
    if (buffers.length > 0) waits.push(this.#device.vouch(buffers));
    if (work && op?.name === "custom") {
      // The kernel for two operands, one of them the target; others compile as they come.
      const shape = { wide: false, inputBuffers: [0, 1], scaled: [false, false], inPlace: 0, writable: [true, false] };
      waits.push(this.#device.pipelines.compile(work, shape, false));
    }
    const segments = flow && reserve(this.#device, flow);
    return segments || waits.length > 0 ? Promise.all([segments, ...waits]).then(([reserved]) => reserved) : undefined;
  }

  read(span: Span): Lease | Promise<Lease> {
    const own = this.#own(span);
    if (own.count === 0) return EMPTY;
    if (this.#readbacksGeneration !== this.#device.generation) {
      this.#readbacks.clear();
      this.#readbacksGeneration = this.#device.generation;
    }
    let readback = this.#readbacks.get(span);
    if (!readback) {
      readback = own.factor ? this.#readScaled(own) : new Readback(this.#user, own, this.#hostMemory);
      this.#readbacks.set(span, readback);
      void this.#device.submitted.then(() => this.#readbacks.delete(span));
    }
    return readback.lend();
  }

  receive(span: Span): Lease {
    return this.#hostMemory.take(this.#own(span).byteLength);
  }

  write(span: Span, lease: Lease): void {
    const own = this.#target(span);
    try {
      if (lease.bytes.byteLength !== own.byteLength) {
        throw new RangeError(`${lease.bytes.byteLength} bytes for a span of ${own.byteLength}`);
      }
      if (own.count > 0) this.#upload(own, lease.bytes);
    } finally {
      lease.release();
    }
  }

  copy(target: Span, source: Span): void {
    const [to, from] = [this.#target(target), this.#own(source)];
    requireEqual(to, from);
    if (to.count === 0 || (to.isSameAs(from) && !from.factor)) return;
    if (from.factor) this.#fold({ work: { dtype: to.dtype, op: null, unary: "same" } }, to, [from]);
    else if (to.ownsItsWords && from.ownsItsWords) copyWords(this.#device, to, from);
    else this.#fold({ work: moveWork(to.dtype) }, to, [from]);
  }

  packing(parts: readonly Span[], starts: readonly number[]): Packing {
    const inWhole = (whole: Span, i: number) => this.slice(whole, starts[i]!, parts[i]!.count);
    return {
      pack: (whole) => {
        for (const [i, part] of parts.entries()) this.copy(inWhole(whole, i), part);
      },
      unpack: (whole) => {
        for (const [i, part] of parts.entries()) this.copy(part, inWhole(whole, i));
      },
    };
  }

  reduce(op: ReduceOp, target: Span, left: Span, right: Span): void {
    this.reduceMany(op, target, [left, right]);
  }

  reduceMany(op: ReduceOp, target: Span, operands: readonly Span[]): void {
    const to = this.#target(target);
    const all = operands.map((operand) => this.#own(operand));
    for (const operand of all) requireEqual(to, operand);
    const [first, ...others] = all;
    if (first === undefined) return;
    if (others.length === 0) this.copy(to, first);
    if (to.count === 0 || others.length === 0) return;
    const fold = { work: foldWork(op, to.dtype) };
    // `target` may be an operand, so it is first written in the pass that uses that operand.
    const last = all.findLastIndex((operand) => operand.isSameAs(to));
    const scratch = last >= MOST_INPUTS ? this.scratch(to.dtype, to.count) : null;
    let folded = first;
    for (let i = 0; i < others.length; i += MOST_INPUTS - 1) {
      const next = others.slice(i, i + MOST_INPUTS - 1);
      const result = scratch && i + next.length < last ? scratch : to;
      this.#fold(fold, result, [folded, ...next]);
      folded = result;
    }
    if (scratch) this.release(scratch);
  }

  /**
   * A view: kernels multiply as they read, and so a fold of prepared inputs is one pass.
   * @throws TypeError if `op` is PREMUL_SUM on integers and its factor is not a whole number.
   */
  prepare(op: ReduceOp, input: Span, size: number): GpuSpan {
    const own = this.#own(input);
    const factor = inputFactor(op, own.dtype, size);
    if (factor === null) return own;
    foldWork(op, own.dtype); // Refuses operations that no kernel does.
    return own.times(bitsOf(own.dtype, factor));
  }

  prepared(op: ReduceOp, input: Span, size: number): GpuSpan {
    return this.prepare(op, input, size).slice(0, input.count);
  }

  finish(op: ReduceOp, span: Span, size: number): void {
    const own = this.#target(span);
    if (op.name === "avg" && !isFloat(own.dtype) && own.count > 0) this.#divide(own, size);
  }

  /** @throws RangeError if the span is i64 or u64 and `value` is not a whole number. */
  fill(span: Span, value: number | bigint): void {
    const own = this.#target(span);
    if (own.count === 0) return;
    // One or two words of the value, repeated as often as it goes into 8 bytes.
    const pattern = new DataView(new ArrayBuffer(8));
    fillSpan(HostSpan.outside(own.dtype, new Uint8Array(pattern.buffer)), value);
    const words = [pattern.getUint32(0, true), pattern.getUint32(4, true)] as const;
    this.#fold({ work: { ...moveWork(own.dtype), unary: "fill" }, value: words }, own, []);
  }

  settled(): Promise<void> {
    return this.#device.settled(this.#user);
  }

  /** Buffers from `alloc` stay valid where the device is the caller's; a device of our own takes them with it. */
  async dispose(): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#device.leave(this.#user);
    this.#close();
  }

  /** The bytes of a view: of its elements, multiplied. */
  #readScaled(view: GpuSpan): Readback {
    const scratch = this.scratch(view.dtype, view.count);
    this.copy(scratch, view);
    const readback = new Readback(this.#user, scratch, this.#hostMemory);
    this.release(scratch);
    // Nothing that was read before has been written.
    this.#readbacksGeneration = this.#device.generation;
    return readback;
  }

  /** Divides in place, or, if the fold queued just before made the span, in that same pass. */
  #divide(span: GpuSpan, divisor: number): void {
    const work: KernelWork = { dtype: span.dtype, op: null, unary: "divide" };
    const latest = this.#latest;
    const isFresh = latest !== null && latest.sequence === this.#device.sequence && latest.target.isSameAs(span);
    if (!isFresh || latest.fold.work.unary !== "same" || latest.fold.work.dtype !== span.dtype) {
      this.#fold({ work, divisor }, span, [span]);
      return;
    }
    this.#device.withdraw(latest.commands);
    this.#fold({ work: { ...work, op: latest.fold.work.op }, divisor }, span, latest.inputs);
  }

  #upload(span: GpuSpan, bytes: Uint8Array): void {
    const words = wholeWords(bytes);
    if (span.ownsItsWords) {
      this.#device.write(span.buffer, span.byteOffset, words);
      return;
    }
    const scratch = this.scratch(span.dtype, span.count);
    this.#device.write(scratch.buffer, 0, words);
    this.#fold({ work: moveWork(span.dtype) }, span, [scratch]);
    this.release(scratch);
  }

  /** Queues the kernels of a fold, and keeps it in mind for #divide. */
  #fold(fold: Fold, target: GpuSpan, inputs: readonly GpuSpan[]): void {
    const { nativeF16 } = this.#limits;
    const before = this.#device.sequence;
    for (const dispatch of planFold(fold, target, inputs, this.#limits)) {
      this.#device.push(foldCommand(this.#device, fold.work, dispatch, nativeF16));
    }
    const { sequence } = this.#device;
    this.#latest = { fold, target, inputs, sequence, commands: sequence - before };
  }

  /** Spans of another executor on the same device are as good as our own. */
  #own(span: Span): GpuSpan {
    if (!(span instanceof GpuSpan) || span.device !== this.#device) {
      throw new TypeError("the span belongs to another executor");
    }
    this.#user.isBusy = true;
    return span;
  }

  /** A span that may be written. */
  #target(span: Span): GpuSpan {
    const own = this.#own(span);
    if (own.factor) throw new TypeError("a prepared input is for reading only");
    return own;
  }
}

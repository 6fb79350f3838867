/**
 * How fast the webgpu executor's kernels are, with copies on the same device as the yardstick, and how much time passes of
 * several inputs save.
 */

import type { Executor, Span } from "../../executor/executor.ts";
import type { GpuExecutor } from "../../executor/webgpu/create-executor.ts";
import { ReduceOp, type ReduceOpName, resolveReduceOp } from "../../reduce-op.ts";
import { describeGpu } from "../../tensor/gpu.ts";
import { bytesPerElement, DATA_TYPES, type DataType, isFloat } from "../../types.ts";
import { medianOf } from "../bench/report.ts";

/** Options of {@link benchGpuKernels}. */
export interface BenchGpuKernelsOptions {
  /** Bytes of one operand. Default: 16 MiB. */
  bytes?: number;
  /** Default: all twelve. */
  dtypes?: readonly DataType[];
  /** Default: all but custom, each where its dtype allows it. */
  ops?: readonly ReduceOpName[];
  /** Called with the rows of each dtype as soon as they are measured. */
  onRows?: (rows: readonly GpuKernelRow[]) => void;
}

/** One dtype and operation. Rates are decimal GB/s of bytes read and written, the best of several runs. */
export interface GpuKernelRow {
  dtype: DataType;
  op: ReduceOpName;
  /** Elements of one operand. */
  count: number;
  gpuGBs: number;
  /** Copying as many bytes, in the same run: the faster of copyBufferToBuffer and a kernel that copies. */
  copyGBs: number;
  /** gpuGBs / copyGBs. */
  share: number;
}

/** The f32 sum against what it could be. Times are milliseconds of one pass, the best of several rounds; ratios are the median of the rounds'. */
export interface GpuFoldRow {
  bytes: number;
  /** One pass of the executor's sum, a = a + b. */
  sumMs: number;
  /** The same by a kernel that does nothing but add two vec4<f32>. */
  bareMs: number;
  /** The bare kernel's time by the sum's: 1 where checks, NaNs and pinning cost nothing. */
  ratio: number;
  /** e = a + b + c + d in one pass. */
  fourMs: number;
  /** e = a + b, e = e + c, e = e + d. */
  threeMs: number;
  /** The one pass's time by that of the three. */
  fourShare: number;
  copyMs: number;
}

const DEFAULT_BYTES = 2 ** 24;
const ALL_OPS: readonly ReduceOpName[] = ["sum", "avg", "product", "min", "max", "band", "bor", "bxor", "premul-sum"];
const ROUNDS = 3;
/** For ratios of two kernels, which a slow moment of one of them spoils. */
const RATIO_ROUNDS = 12;
/** Passes go to the GPU together until a round takes this long: waiting for the GPU costs up to 11 ms in some runtimes. */
const ROUND_MS = 40;

/**
 * Measures dtype by dtype, its operations and the copy in turns; an operation that the device cannot do exactly has no row.
 * All dtypes take a quarter of a minute on a software adapter at 4 MiB, half of that to compile kernels.
 */
export async function benchGpuKernels(gpu: GpuExecutor, options: BenchGpuKernelsOptions = {}): Promise<GpuKernelRow[]> {
  const { bytes = DEFAULT_BYTES, dtypes = DATA_TYPES, ops = ALL_OPS, onRows } = options;
  const rows: GpuKernelRow[] = [];
  for (const dtype of dtypes) {
    const count = Math.floor(bytes / bytesPerElement(dtype));
    if (!(count >= 1)) throw new TypeError(`bench kernels: ${bytes} bytes do not hold an element of ${dtype}`);
    const spans = [gpu.scratch(dtype, count), gpu.scratch(dtype, count), gpu.scratch(dtype, count)] as const;
    for (const span of spans) gpu.fill(span, 3);
    const passes = ops.flatMap((op) => {
      const run = passOf(gpu, op, spans);
      return run ? [{ op, pass: timed(run) }] : [];
    });
    const touched = 3 * spans[0].byteLength;
    const copies = copiesOf(gpu.device, touched);
    await timePasses(gpu, [...copies.ways, ...passes.map(({ pass }) => pass)], ROUNDS);
    const rate = (bytes: number, ...ways: readonly Timed[]) =>
      bytes / 1e6 / Math.min(...ways.flatMap(({ times }) => times));
    const copyGBs = rate(2 * copies.bytes, ...copies.ways);
    const measured = passes.map(({ op, pass }): GpuKernelRow => {
      const gpuGBs = rate(touched, pass);
      return { dtype, op, count, gpuGBs, copyGBs, share: gpuGBs / copyGBs };
    });
    rows.push(...measured);
    onRows?.(measured);
    copies.release();
    for (const span of spans) gpu.release(span);
  }
  return rows;
}

/** One pass of an operation, or null where the dtype has none. */
function passOf(
  gpu: Executor,
  op: ReduceOpName,
  [target, left, right]: readonly [Span, Span, Span],
): (() => void) | null {
  const { dtype } = target;
  const isBitwise = op === "band" || op === "bor" || op === "bxor";
  if (op === "custom" || (isBitwise && isFloat(dtype))) return null;
  if (dtype === "f64" && op !== "min" && op !== "max") return null;
  const resolved = op === "premul-sum" ? ReduceOp.premulSum(3) : resolveReduceOp(op as "sum", dtype);
  // As in a group of two: this rank's own input is prepared as it is read, and an average of integers divided as it is stored.
  return () => {
    gpu.reduce(resolved, target, left, gpu.prepare(resolved, right, 2));
    gpu.finish(resolved, target, 2);
  };
}

/** Measures the f32 sum. `bytes` is a multiple of 16. Default: 16 MiB. */
export async function benchGpuFold(gpu: GpuExecutor, bytes = DEFAULT_BYTES): Promise<GpuFoldRow> {
  const count = bytes / 4;
  const alloc = () => gpu.alloc("f32", count);
  const tensors = [alloc(), alloc(), alloc(), alloc(), alloc()] as const;
  const [a, b, c, d, e] = tensors.map((tensor) => gpu.span(describeGpu(tensor))) as [Span, Span, Span, Span, Span];
  for (const span of [a, b, c, d, e]) gpu.fill(span, 0);
  await gpu.settled();
  const sum = timed(() => gpu.reduce(ReduceOp.SUM, a, a, b));
  const bare = timed(bareKernel(gpu.device, "a[i] + b[i]", tensors[0].buffer, tensors[1].buffer, bytes));
  const four = timed(() => gpu.reduceMany(ReduceOp.SUM, e, [a, b, c, d]));
  const three = timed(() => {
    gpu.reduce(ReduceOp.SUM, e, a, b);
    gpu.reduce(ReduceOp.SUM, e, e, c);
    gpu.reduce(ReduceOp.SUM, e, e, d);
  });
  const copy = timed(() => gpu.copy(a, b));
  await timePasses(gpu, [sum, bare, four, three, copy], RATIO_ROUNDS);
  for (const { buffer } of tensors) buffer.destroy();
  const ms = ({ times }: Timed) => Math.min(...times);
  return {
    ...{ bytes, sumMs: ms(sum), bareMs: ms(bare), ratio: medianRatio(bare.times, sum.times) },
    ...{ fourMs: ms(four), threeMs: ms(three), fourShare: medianRatio(four.times, three.times), copyMs: ms(copy) },
  };
}

/** The median of a[i] / b[i]. */
export function medianRatio(a: readonly number[], b: readonly number[]): number {
  return medianOf(a.map((time, i) => time / (b[i] ?? Number.NaN)));
}

/**
 * Two ways to copy, reading and writing `touched` bytes in all, so that the copy and the operation leave as much to the caches. A
 * device may have an engine for copies that is slower than its kernels, or no kernels that are as fast as it.
 */
function copiesOf(device: GPUDevice, touched: number): { bytes: number; ways: readonly Timed[]; release(): void } {
  const most = Math.min(device.limits.maxBufferSize, device.limits.maxStorageBufferBindingSize);
  const bytes = Math.ceil(Math.min(touched / 2, most - 16) / 16) * 16;
  // STORAGE, COPY_SRC, COPY_DST
  const buffer = () => device.createBuffer({ size: bytes, usage: 128 | 4 | 8 });
  const [target, source] = [buffer(), buffer()];
  const byEngine = () => {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 0, target, 0, bytes);
    device.queue.submit([encoder.finish()]);
  };
  return {
    bytes,
    ways: [timed(byEngine), timed(bareKernel(device, "b[i]", target, source, bytes))],
    release: () => {
      target.destroy();
      source.destroy();
    },
  };
}

/** The plainest kernel: each invocation sets one vec4 a[i] to `value`. */
function bareKernel(device: GPUDevice, value: string, target: GPUBuffer, source: GPUBuffer, bytes: number): () => void {
  const code = `
    @group(0) @binding(0) var<storage, read_write> a: array<vec4<f32>>;
    @group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
      let i = id.x + id.y * groups.x * 64u;
      if (i < arrayLength(&a)) { a[i] = ${value}; }
    }`;
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
  });
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [target, source].map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const groups = Math.ceil(bytes / 16 / 64);
  const rows = Math.ceil(groups / 65_535);
  return () => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(Math.ceil(groups / rows), rows);
    pass.end();
    device.queue.submit([encoder.finish()]);
  };
}

/** A pass, how many of them a round has, and the time of one in each round, in milliseconds. */
interface Timed {
  readonly run: () => void;
  passes: number;
  readonly times: number[];
}

const timed = (run: () => void): Timed => ({ run, passes: 1, times: [] });

/**
 * Times every one of `all` in each round; in turns, so that a slow moment hits all, and every other round backwards, since one
 * leaves its data in the caches to the next.
 */
async function timePasses(gpu: GpuExecutor, all: readonly Timed[], rounds: number): Promise<void> {
  // The first round compiles, the second finds how many passes a round takes.
  for (let round = -2; round < rounds; round++) {
    for (const one of round % 2 === 0 ? all : [...all].reverse()) {
      const { run, passes } = one;
      const start = performance.now();
      for (let pass = 0; pass < passes; pass++) run();
      await gpu.settled();
      const elapsed = performance.now() - start;
      if (round === -1) one.passes = Math.min(100, Math.max(1, Math.round((passes * ROUND_MS) / elapsed)));
      if (round >= 0) one.times.push(elapsed / passes);
    }
  }
}

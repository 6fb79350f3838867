/**
 * How fast the webgpu executor's kernels are, with copyBufferToBuffer on the same device as the yardstick, and what passes of
 * several inputs save.
 */
import type { Executor, Span } from "../executor/executor.ts";
import type { GpuExecutor } from "../executor/webgpu.ts";
import { ReduceOp, type ReduceOpName, resolveReduceOp } from "../reduce-op.ts";
import { bytesPerElement, DATA_TYPES, type DataType, isFloat } from "../types.ts";

/** Options of {@link benchGpuKernels}. */
export interface BenchGpuKernelsOptions {
  /** Bytes of one operand. Default: 16 MiB. */
  bytes?: number;
  /** Default: all twelve. */
  dtypes?: readonly DataType[];
  /** Default: all but custom, each where its dtype allows it. */
  ops?: readonly ReduceOpName[];
  /** Called with each row as soon as it is measured. */
  onRow?: (row: GpuKernelRow) => void;
}

/** One dtype and operation. Rates are decimal GB/s of bytes read and written, the best of several runs. */
export interface GpuKernelRow {
  dtype: DataType;
  op: ReduceOpName;
  /** Elements of one operand. */
  count: number;
  gpuGBs: number;
  /** copyBufferToBuffer of one operand, in the same run. */
  copyGBs: number;
  /** gpuGBs / copyGBs. */
  share: number;
}

/** The f32 sum against what it could be. Times are milliseconds of one pass, the best of several runs. */
export interface GpuFoldRow {
  bytes: number;
  /** One pass of the executor's sum, a = a + b. */
  sumMs: number;
  /** The same by a kernel that does nothing but add two vec4<f32>. */
  bareMs: number;
  /** bareMs / sumMs: 1 where checks, NaNs and pinning cost nothing. */
  ratio: number;
  /** e = a + b + c + d in one pass. */
  fourMs: number;
  /** e = a + b, e = e + c, e = e + d. */
  threeMs: number;
  /** fourMs / threeMs. */
  fourShare: number;
  copyMs: number;
}

const DEFAULT_BYTES = 2 ** 24;
const ALL_OPS: readonly ReduceOpName[] = ["sum", "avg", "product", "min", "max", "band", "bor", "bxor", "premul-sum"];
const ROUNDS = 5;
/** Passes go to the GPU together until a round takes this long: waiting for the GPU costs up to 11 ms in some runtimes. */
const ROUND_MS = 60;

/** Measures dtype by dtype and operation by operation; what the device cannot do exactly has no row. */
export async function benchGpuKernels(gpu: GpuExecutor, options: BenchGpuKernelsOptions = {}): Promise<GpuKernelRow[]> {
  const { bytes = DEFAULT_BYTES, dtypes = DATA_TYPES, ops = ALL_OPS, onRow } = options;
  const rows: GpuKernelRow[] = [];
  for (const dtype of dtypes) {
    const count = Math.floor(bytes / bytesPerElement(dtype));
    if (!(count >= 1)) throw new TypeError(`bench kernels: ${bytes} bytes do not hold an element of ${dtype}`);
    const spans = [gpu.scratch(dtype, count), gpu.scratch(dtype, count), gpu.scratch(dtype, count)] as const;
    for (const span of spans) gpu.fill(span, 3);
    for (const op of ops) {
      const run = passOf(gpu, op, spans);
      if (!run) continue;
      const [ms, copyMs] = await bestPassMs(gpu, [run, () => gpu.copy(spans[0], spans[1])]);
      const rate = (operands: number, time: number) => (operands * spans[0].byteLength) / 1e6 / time;
      const [gpuGBs, copyGBs] = [rate(3, ms!), rate(2, copyMs!)];
      const row = { dtype, op, count, gpuGBs, copyGBs, share: gpuGBs / copyGBs };
      rows.push(row);
      onRow?.(row);
    }
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
  const tensors = Array.from({ length: 5 }, () => gpu.alloc("f32", count));
  const [a, b, c, d, e] = tensors.map((tensor) => gpu.span(tensor)) as [Span, Span, Span, Span, Span];
  for (const span of [a, b, c, d, e]) gpu.fill(span, 0);
  await gpu.settled();
  const bare = bareAdd(gpu.device, tensors[0]!.buffer, tensors[1]!.buffer, bytes);
  const [sumMs, bareMs, fourMs, threeMs, copyMs] = await bestPassMs(gpu, [
    () => gpu.reduce(ReduceOp.SUM, a, a, b),
    bare,
    () => gpu.reduceMany(ReduceOp.SUM, e, [a, b, c, d]),
    () => {
      gpu.reduce(ReduceOp.SUM, e, a, b);
      gpu.reduce(ReduceOp.SUM, e, e, c);
      gpu.reduce(ReduceOp.SUM, e, e, d);
    },
    () => gpu.copy(a, b),
  ]);
  for (const { buffer } of tensors) buffer.destroy();
  return {
    ...{ bytes, sumMs: sumMs!, bareMs: bareMs!, ratio: bareMs! / sumMs! },
    ...{ fourMs: fourMs!, threeMs: threeMs!, fourShare: fourMs! / threeMs!, copyMs: copyMs! },
  };
}

/** What anyone would write first: one vec4 for each invocation. */
function bareAdd(device: GPUDevice, target: GPUBuffer, source: GPUBuffer, bytes: number): () => void {
  const code = `
    @group(0) @binding(0) var<storage, read_write> a: array<vec4<f32>>;
    @group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
      let i = id.x + id.y * groups.x * 64u;
      if (i < arrayLength(&a)) { a[i] = a[i] + b[i]; }
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

/** The shortest time of one pass of each run, in milliseconds; in turns, so that a slow moment hits all. */
async function bestPassMs(gpu: GpuExecutor, runs: readonly (() => void)[]): Promise<number[]> {
  const passes = runs.map(() => 1);
  const best = runs.map(() => Number.POSITIVE_INFINITY);
  // The first round compiles and finds how many passes a round takes.
  for (let round = -2; round < ROUNDS; round++) {
    for (const [i, run] of runs.entries()) {
      const start = performance.now();
      for (let pass = 0; pass < passes[i]!; pass++) run();
      await gpu.settled();
      const elapsed = performance.now() - start;
      if (round === -1) passes[i] = Math.min(100, Math.max(1, Math.round((passes[i]! * ROUND_MS) / elapsed)));
      if (round >= 0) best[i] = Math.min(best[i]!, elapsed / passes[i]!);
    }
  }
  return best;
}

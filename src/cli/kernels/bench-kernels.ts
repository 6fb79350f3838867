/**
 * How fast the cpu executor's kernels are: WebAssembly against plain loops, with memcpy as the yardstick.
 */
import { createCpuExecutor } from "../../executor/cpu/cpu-executor.ts";
import type { Executor, Span } from "../../executor/executor.ts";
import { ReduceOp, type ReduceOpName, resolveReduceOp } from "../../reduce-op.ts";
import { bytesPerElement, DATA_TYPES, type DataType, isFloat } from "../../types.ts";

/** Options of {@link benchKernels}. */
export interface BenchKernelsOptions {
  /** Bytes of all operands together. Default: 1 MiB. */
  bytes?: number;
  /** Default: all twelve. */
  dtypes?: readonly DataType[];
  /** Default: all but custom, each where its dtype allows it. */
  ops?: readonly ReduceOpName[];
  /** Called with each row as soon as it is measured. */
  onRow?: (row: KernelRow) => void;
}

/** One dtype and operation. Rates are decimal GB/s of bytes read and written, the best of several runs. */
export interface KernelRow {
  dtype: DataType;
  op: ReduceOpName;
  /** Elements of one operand. */
  count: number;
  /** The plain loop, over arrays of the caller. */
  plainGBs: number;
  /** The WebAssembly kernel, operands in WebAssembly memory; 0 where WebAssembly may not run. */
  wasmGBs: number;
  /** The same kernel, operands in arrays of the caller, copied block by block. */
  copiedGBs: number;
  /** Reading and writing as many bytes by a copy: `Uint8Array.set` from one array to another. */
  memcpyGBs: number;
  /** wasmGBs / plainGBs. */
  ratio: number;
}

const DEFAULT_BYTES = 1_048_576;
const ALL_OPS: readonly ReduceOpName[] = ["sum", "avg", "product", "min", "max", "band", "bor", "bxor", "premul-sum"];
/** Keeps a dtype's nine operations under two seconds. */
const ROUNDS = 5;
const ROUND_MS = 8;

/**
 * Measures dtype by dtype and operation by operation. A fold is out = left op right, so it touches three operands; avg
 * and premul-sum measure their work beyond the sum (scaling, or the division of integers), which touches one twice.
 * @throws TypeError if `bytes` is too small to hold one element of each operand.
 */
export async function benchKernels(options: BenchKernelsOptions = {}): Promise<KernelRow[]> {
  const { bytes = DEFAULT_BYTES, dtypes = DATA_TYPES, ops = ALL_OPS, onRow } = options;
  const wasm = await createCpuExecutor();
  const plain = await createCpuExecutor({ wasm: false });
  await Promise.all([wasm.loadRareLoops(), plain.loadRareLoops()]);
  await Promise.all([wasm, plain].map((executor) => executor.loadRareLoops()));
  const rows: KernelRow[] = [];
  for (const dtype of dtypes) {
    const count = Math.floor(bytes / 3 / bytesPerElement(dtype));
    if (!(count >= 1)) throw new TypeError(`bench kernels: ${bytes} bytes do not hold three elements of ${dtype}`);
    for (const op of ops) {
      if (op === "custom" || (isFloat(dtype) && (op === "band" || op === "bor" || op === "bxor"))) continue;
      const row = measure(wasm, plain, dtype, op, count);
      rows.push(row);
      onRow?.(row);
      // Between rows, whatever else this thread has to do.
      await new Promise<void>((resolve) => setTimeout(resolve, 0));
    }
  }
  return rows;
}

function measure(wasm: Executor, plain: Executor, dtype: DataType, op: ReduceOpName, count: number): KernelRow {
  const byteLength = count * bytesPerElement(dtype);
  const inside = [wasm.scratch(dtype, count), wasm.scratch(dtype, count), wasm.scratch(dtype, count)] as const;
  const outside = [plain.scratch(dtype, count), plain.scratch(dtype, count), plain.scratch(dtype, count)] as const;
  for (const span of [...inside, ...outside]) wasm.fill(span, 3);
  const touched = byteLength * (op === "avg" || op === "premul-sum" ? 2 : 3);
  // As many bytes as the operation touches, so that both leave as much to the caches.
  const half = Math.ceil(touched / 2);
  const [to, from] = [new Uint8Array(half), new Uint8Array(half).fill(3)];
  // In turns, so that a slow moment of the machine does not fall on one of them alone.
  const best = bestTimesMs({
    plain: work(plain, op, outside),
    wasm: work(wasm, op, inside),
    copied: work(wasm, op, outside),
    memcpy: () => to.set(from),
  });
  for (const span of inside) wasm.release(span);
  const rate = (moved: number, ms: number) => moved / 1e6 / ms;
  const plainGBs = rate(touched, best.plain);
  const hasWasm = !wasm.description.startsWith("plain");
  const wasmGBs = hasWasm ? rate(touched, best.wasm) : 0;
  const copiedGBs = hasWasm ? rate(touched, best.copied) : 0;
  return {
    ...{ dtype, op, count, plainGBs, wasmGBs, copiedGBs },
    memcpyGBs: rate(2 * half, best.memcpy),
    ratio: wasmGBs / plainGBs,
  };
}

/** One pass of an operation's own work. */
function work(executor: Executor, op: ReduceOpName, spans: readonly [Span, Span, Span]): () => void {
  const [target, left, right] = spans;
  // Factor and divisor are 1: whatever is done to the values, they stay what they are.
  if (op === "premul-sum") return () => executor.prepare(ReduceOp.premulSum(1), target, 2);
  if (op === "avg") {
    return isFloat(target.dtype)
      ? () => executor.prepare(ReduceOp.AVG, target, 1)
      : () => executor.finish(ReduceOp.AVG, target, 1);
  }
  const resolved = resolveReduceOp(op as "sum", target.dtype);
  return () => executor.reduce(resolved, target, left, right);
}

/** One value for each of the four runs. */
interface Each<T> {
  plain: T;
  wasm: T;
  copied: T;
  memcpy: T;
}

/** The shortest time of one pass of each run, in milliseconds. */
function bestTimesMs(runs: Each<() => void>): Each<number> {
  const never = Number.POSITIVE_INFINITY;
  const best: Each<number> = { plain: never, wasm: never, copied: never, memcpy: never };
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of ["plain", "wasm", "copied", "memcpy"] as const) {
      const run = runs[name];
      const start = performance.now();
      let passes = 0;
      let elapsed = 0;
      do {
        run();
        passes++;
        elapsed = performance.now() - start;
      } while (elapsed < ROUND_MS);
      best[name] = Math.min(best[name], elapsed / passes);
    }
  }
  return best;
}

/** One run: a collective on all ranks, size by size, timed and checked as `webccl bench` does it. */
import { BENCH_TABLE, type BenchOp, type BlockValue, type Fold } from "../src/cli/bench/table.ts";
import type { ProcessGroup } from "../src/group/process-group.ts";
import { bytesPerElement, type DataType, type HostArray, type Tensor } from "../src/types.ts";

/** The measurement to run. */
export interface Order {
  collective: string;
  op: BenchOp;
  dtype: Exclude<DataType, "f8e4m3" | "f8e5m2" | "f16" | "bf16">;
  maxBytes: number;
  memory: "cpu" | "webgpu";
  /** The tab that asked for it. */
  by: number;
}

/** One size. */
export interface Measured {
  bytes: number;
  timeMs: number;
  algBwGBs: number;
  busBwGBs: number;
  wrong: number;
}

export const DEMO_COLLECTIVES = BENCH_TABLE.filter((row) => row.factor !== null).map((row) => row.name);
/** GPUBufferUsage and GPUMapMode, which a page that is no secure context lacks. */
const [MAP_READ, COPY_SRC, COPY_DST, STORAGE] = [1, 4, 8, 128];
const MIN_BYTES = 1024;
const STEP = 4;
const RUNS = 5;

/** Small whole numbers, which every dtype holds and every order of a sum gives exactly. */
const value: BlockValue = (rank, block, index) => 1 + ((rank + 2 * block + index) % 3);

/**
 * Runs an order on this rank; every rank calls it. `onSize` gets each size's result, the same on all ranks. Ends before
 * the last size if `stop` says so on any rank.
 */
export async function measure(
  group: ProcessGroup,
  order: Order,
  onSize: (measured: Measured) => void,
  stop: () => boolean,
): Promise<void> {
  const row = BENCH_TABLE.find(({ name }) => name === order.collective)!;
  const { rank, size: ranks } = group;
  const { dtype, op } = order;
  const layout = row.buffers(rank, ranks);
  const fold = foldOf(op, ranks);
  for (let bytes = MIN_BYTES; bytes <= order.maxBytes; bytes *= STEP) {
    const count = Math.max(1, Math.floor(bytes / bytesPerElement(dtype) / (layout.perRank ? ranks : 1)));
    const input = makeBlocks(group, order, layout.inputs, count);
    const output = layout.outputs === "in place" ? input : makeBlocks(group, order, layout.outputs, count);
    const initial = arrayLike(await input.read(), count, (block, index) => value(rank, block, index));
    const buffers = { input: input.whole, output: output.whole, inputs: input.parts, outputs: output.parts };
    const timesMs: number[] = [];
    for (let run = 0; run <= RUNS; run++) {
      input.write(initial);
      await group.barrier();
      const start = performance.now();
      await row.run(group, buffers, { op });
      if (run > 0) timesMs.push(performance.now() - start);
    }
    const expected = row.expected(value, fold, rank, ranks);
    const result = await output.read();
    let wrong = 0;
    for (let at = 0; at < result.length; at++) {
      if (Number(result[at]) !== expected(Math.floor(at / count), at % count)) wrong++;
    }
    for (const used of new Set([input, output])) used.dispose();
    timesMs.sort((a, b) => a - b);
    const told = await group.allGatherObject({ timeMs: timesMs[RUNS >> 1]!, wrong, stop: stop() });
    const timeMs = Math.max(...told.map((one) => one.timeMs));
    const reported = count * bytesPerElement(dtype) * (layout.perRank ? ranks : 1);
    const algBwGBs = reported / timeMs / 1e6;
    const all = told.reduce((sum, one) => sum + one.wrong, 0);
    onSize({ bytes: reported, timeMs, algBwGBs, busBwGBs: algBwGBs * row.factor!(ranks), wrong: all });
    if (told.some((one) => one.stop)) return;
  }
}

/** Blocks of one tensor in host memory or in a GPU's. */
interface Blocks {
  readonly whole: Tensor;
  readonly parts: readonly Tensor[];
  write(values: HostArray): void;
  read(): Promise<HostArray>;
  dispose(): void;
}

function makeBlocks(group: ProcessGroup, { dtype, memory }: Order, length: number, count: number): Blocks {
  const starts = Array.from({ length }, (_, i) => i * count);
  const data = group.alloc(dtype, length * count);
  if (memory === "cpu") {
    return {
      whole: data,
      parts: starts.map((start) => data.subarray(start, start + count)),
      write: (values) => (data as Float32Array).set(values as Float32Array),
      read: async () => data,
      dispose: () => {},
    };
  }
  const device = group.device!;
  const size = data.byteLength;
  const buffer = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
  const staging = device.createBuffer({ size, usage: MAP_READ | COPY_DST });
  return {
    whole: { buffer, dtype, count: length * count },
    parts: starts.map((start) => ({ buffer, dtype, byteOffset: start * bytesPerElement(dtype), count })),
    // A GPU takes no shared memory.
    write: (values) => device.queue.writeBuffer(buffer, 0, values.slice().buffer as ArrayBuffer),
    read: async () => {
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(buffer, 0, staging, 0, size);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(1);
      (data as Float32Array).set(new (data.constructor as Float32ArrayConstructor)(staging.getMappedRange().slice(0)));
      staging.unmap();
      return data;
    },
    dispose: () => {
      buffer.destroy();
      staging.destroy();
    },
  };
}

function arrayLike(data: HostArray, count: number, valueAt: (block: number, index: number) => number): HostArray {
  const big = data instanceof BigInt64Array || data instanceof BigUint64Array;
  const values = data.slice();
  for (let at = 0; at < values.length; at++) {
    const number = valueAt(Math.floor(at / count), at % count);
    values[at] = big ? BigInt(number) : number;
  }
  return values;
}

function foldOf(op: BenchOp, ranks: number): Fold {
  const all = (valueAt: (rank: number) => number) => Array.from({ length: ranks }, (_, rank) => valueAt(rank));
  switch (op) {
    case "min":
      return (valueAt) => Math.min(...all(valueAt));
    case "max":
      return (valueAt) => Math.max(...all(valueAt));
    default:
      return (valueAt) => all(valueAt).reduce((sum, one) => sum + one, 0);
  }
}

/**
 * One rank of `webccl bench`: fills, runs, checks and times each collective at each size, and tells the launcher.
 *
 * A size is checked before its timed runs and again after them. A rank's time of one run is from its call until its
 * promise settles; the launcher takes the slowest rank's.
 */
import { parentPort } from "node:worker_threads";
import type { Transfer } from "../../algorithm/context.ts";
import { type NcclLibrary, ncclVersionText } from "../../backend/nccl/library.ts";
import { f32ToF8 } from "../../executor/cpu/float8.ts";
import { f32ToBf16, f32ToF16 } from "../../executor/cpu/half.ts";
import type { ReadbackTimes } from "../../executor/webgpu/create-executor.ts";
import { initProcessGroup, type ProcessGroup } from "../../node/index.ts";
import {
  bytesPerElement,
  type DataType,
  type HostArray,
  type HostTensor,
  isFloat,
  isFloat8,
  type Tensor,
} from "../../types.ts";
import { importOptional } from "../optional.ts";
import type { BenchConfig, WorkerMessage } from "./bench.ts";
import { type BenchTensor, cudaBenchTensor, gpuBenchTensor, hostBenchTensor } from "./memory.ts";
import { ownEntry, transportOf } from "./place.ts";
import { readbackCost } from "./readback.ts";
import { type ReadbackCost, sizesOf } from "./report.ts";
import { type BenchBuffers, type BenchRow, benchRow, blockCount, foldOf, inputValue, REDUCING } from "./table.ts";

/** Length of the repeated pattern: a prime, so that data at a wrong index does not look right. */
const PERIOD = 1021;

/** How long each size runs before it is timed, and the first of all, in milliseconds. */
const WARM_UP_MS = 400;
const FIRST_WARM_UP_MS = 2_000;

const tell = (message: WorkerMessage) => (parentPort ? parentPort.postMessage(message) : process.send?.(message));

/** Steps of messages and readbacks on a GPU, of the run under way. */
const transfers: Transfer[] = [];
const readbacks: ReadbackTimes[] = [];
const LISTENERS = {
  onTransfer: (transfer: Transfer) => void transfers.push(transfer),
  onReadback: (times: ReadbackTimes) => void readbacks.push(times),
};

async function main(config: BenchConfig): Promise<void> {
  const backend = config.device ?? "cpu";
  const nccl =
    backend === "nccl" ? await importOptional<NcclLibrary>("@webccl/nccl", "--device nccl measures it") : null;
  const group = await initProcessGroup({
    backend,
    ...(backend === "webgpu" ? LISTENERS : {}),
    ...(nccl ? { loadNccl: async () => nccl } : {}),
    ...(config.transport === undefined ? {} : { transport: config.transport }),
    ...(config.integrity === undefined ? {} : { integrity: config.integrity }),
  });
  try {
    const place: Place = { group, nccl, idleRssBytes: process.memoryUsage.rss() };
    let warmUpMs = backend === "cpu" ? FIRST_WARM_UP_MS : WARM_UP_MS;
    if (group.rank === 0) tell({ type: "group", ...(await describePlace(place)) });
    for (const name of config.collectives) {
      const row = benchRow(name);
      for (const bytes of sizesOf(config, row)) {
        await measure(place, row, bytes, config, warmUpMs);
        warmUpMs = WARM_UP_MS;
      }
    }
  } finally {
    await group.destroy();
  }
}

/** Where this rank measures. */
interface Place {
  readonly group: ProcessGroup;
  /** Where the tensors are in CUDA memory. */
  readonly nccl: NcclLibrary | null;
  /** Memory of this process when its group was there. */
  readonly idleRssBytes: number;
}

async function describePlace({ group, nccl }: Place): Promise<{ device: string; transport: string; runtime: string }> {
  const { executors } = group.info();
  return {
    device: nccl ? await describeDevice(nccl, cudaDeviceOf(group)) : (executors.at(-1)?.name ?? "none"),
    transport: transportOf(group),
    runtime: ownEntry(group).version,
  };
}

function cudaDeviceOf(group: ProcessGroup): number {
  const { cudaDevice } = ownEntry(group);
  if (cudaDevice === null) throw new Error(`rank ${group.rank} has no CUDA device`);
  return cudaDevice;
}

/** Such as "nccl 2.27.7, NVIDIA H100 80GB HBM3". */
async function describeDevice(nccl: NcclLibrary, device: number): Promise<string> {
  const { version, devices } = await nccl.load();
  return `nccl ${ncclVersionText(version)}, ${devices[device]?.name ?? `device ${device}`}`;
}

async function measure(
  place: Place,
  row: BenchRow,
  bytes: number,
  config: BenchConfig,
  warmUpMs: number,
): Promise<void> {
  const { group } = place;
  const width = bytesPerElement(config.dtype);
  const asked = blockCount(row, bytes, width, group.size);
  // Every block of a GPUBuffer begins at a whole word.
  const count = group.device ? (Math.ceil((asked * width) / 4) * 4) / width : asked;
  tell({ type: "start", collective: row.name, count });
  const { buffers, mirror } = allocate(place, row, count, config.dtype);
  const options = {
    op: config.op,
    ...(config.algorithm === undefined || row.factor === null ? {} : { algorithm: config.algorithm }),
  };
  const runOnce = () => row.run(group, buffers, options);
  const checkedRun = async () => {
    fillInputs(row, mirror, group, config);
    for (const tensor of mirror.all) await tensor.upload();
    await runOnce();
    for (const tensor of mirror.all) await tensor.download();
    return countWrong(row, mirror, group, config);
  };

  let wrong = await checkedRun();
  if (config.warmups === undefined) await warmUp(group, runOnce, runsOf(bytes, 100, 1), warmUpMs);
  else await timeRuns(group, runOnce, config.warmups);
  const iterations = config.iterations ?? runsOf(bytes, config.device === "webgpu" ? 20 : 100, 5);
  await group.barrier();
  const { timesUs, costs } = await timeRuns(group, runOnce, iterations);
  wrong += await checkedRun();
  for (const tensor of mirror.all) tensor.free();
  const extraRssBytes = Math.max(0, process.resourceUsage().maxRSS * 1024 - place.idleRssBytes);
  tell({ type: "row", collective: row.name, count, timesUs, costs, wrong, extraRssBytes });
}

/** Fewer runs of large tensors, so that a size takes about as long as the one before. */
function runsOf(bytes: number, most: number, fewest: number): number {
  return Math.max(fewest, Math.min(most, Math.round(2 ** 26 / bytes)));
}

/** The time of each of `runs` runs, and on a GPU the cost of its readbacks. */
async function timeRuns(
  group: ProcessGroup,
  runOnce: () => PromiseLike<unknown>,
  runs: number,
): Promise<{ timesUs: number[]; costs: ReadbackCost[] }> {
  const timesUs = new Array<number>(runs).fill(0);
  const costs: ReadbackCost[] = [];
  for (let i = 0; i < runs; i++) {
    transfers.length = 0;
    readbacks.length = 0;
    const start = performance.now();
    await runOnce();
    timesUs[i] = (performance.now() - start) * 1000;
    if (group.device) costs.push(readbackCost(readbacks, transfers));
  }
  return { timesUs, costs };
}

/**
 * Runs in batches of `runs` until `durationMs` have passed on rank 0. The first thousands of calls of a process run before its
 * engine has compiled them, and are many times slower than those after them. It drops compiled code when a
 * collective comes that it has not seen. So everything that will be timed is warmed up, from the barrier on.
 */
async function warmUp(
  group: ProcessGroup,
  runOnce: () => PromiseLike<unknown>,
  runs: number,
  durationMs: number,
): Promise<void> {
  const goesOn = new Int32Array(1);
  const end = performance.now() + durationMs;
  do {
    await group.barrier();
    await timeRuns(group, runOnce, runs);
    goesOn[0] = performance.now() < end ? 1 : 0;
    await group.broadcast(goesOn);
  } while (goesOn[0] === 1);
}

/** The same blocks in host memory. */
interface Mirror {
  readonly all: readonly BenchTensor[];
  readonly inputs: readonly HostTensor[];
  readonly outputs: readonly HostTensor[];
}

function allocate(
  { group, nccl }: Place,
  row: BenchRow,
  count: number,
  dtype: DataType,
): { buffers: BenchBuffers<Tensor>; mirror: Mirror } {
  const shape = row.buffers(group.rank, group.size);
  const { device } = group;
  const allocate = (blocks: number) => {
    const host = arrayOf(group.alloc(dtype, blocks * count));
    if (nccl) return cudaBenchTensor(nccl, cudaDeviceOf(group), host, dtype);
    return device ? gpuBenchTensor(device, host, dtype) : hostBenchTensor(host, dtype);
  };
  const input = allocate(shape.inputs);
  const output = shape.outputs === "in place" ? input : allocate(shape.outputs);
  const [inputs, outputs] = [blocksOf(input, count), blocksOf(output, count)];
  return {
    buffers: {
      input: input.tensor,
      output: output.tensor,
      inputs: inputs.map(({ tensor }) => tensor),
      outputs: outputs.map(({ tensor }) => tensor),
    },
    mirror: {
      all: input === output ? [input] : [input, output],
      inputs: inputs.map(({ host }) => host),
      outputs: outputs.map(({ host }) => host),
    },
  };
}

function blocksOf(tensor: BenchTensor, count: number): ReturnType<BenchTensor["block"]>[] {
  const blocks: ReturnType<BenchTensor["block"]>[] = [];
  for (let start = 0; start < tensor.host.length; start += count) blocks.push(tensor.block(start, count));
  return blocks;
}

/** The array of a tensor from `alloc`; f16 as its bits. */
function arrayOf(tensor: HostArray | HostTensor): HostArray {
  if ("data" in tensor) return tensor.data;
  const { buffer, byteOffset, length } = tensor;
  return tensor[Symbol.toStringTag] === "Float16Array" ? new Uint16Array(buffer, byteOffset, length) : tensor;
}

function fillInputs(row: BenchRow, buffers: Mirror, group: ProcessGroup, config: BenchConfig): void {
  const value = patternOf(row, group, config);
  for (const { data } of buffers.outputs) new Uint8Array(data.buffer, data.byteOffset, data.byteLength).fill(0);
  buffers.inputs.forEach(({ data }, block) => {
    store(data, config.dtype, Math.min(PERIOD, data.length), (index) => value(group.rank, block, index));
    for (let done = PERIOD; done < data.length; done *= 2) data.copyWithin(done, 0, done);
  });
}

function countWrong(row: BenchRow, buffers: Mirror, group: ProcessGroup, config: BenchConfig): number {
  const reciprocal = isFloat(config.dtype) ? reciprocalOf(config.dtype, group.size) : null;
  const fold = foldOf(config.op, group.size, reciprocal);
  const expected = row.expected(patternOf(row, group, config), fold, group.rank, group.size);
  let wrong = 0;
  buffers.outputs.forEach(({ data }, block) => {
    const reference = data.slice(0, PERIOD);
    store(reference, config.dtype, reference.length, (index) => expected(block, index));
    for (let i = 0, j = 0; i < data.length; i++) {
      if (data[i] !== reference[j]) wrong++;
      if (++j === PERIOD) j = 0;
    }
  });
  return wrong;
}

const patternOf = (row: BenchRow, group: ProcessGroup, config: BenchConfig) =>
  inputValue(REDUCING.has(row.name) ? config.op : null, group.size, config.dtype);

/** 1 / size in the precision in which AVG multiplies by it. */
function reciprocalOf(dtype: DataType, size: number): number {
  return dtype === "f64" ? 1 / size : Math.fround(1 / size);
}

/** Sets the first `count` elements; integers wrap, floats round to nearest even, each in its dtype. */
function store(data: HostArray, dtype: DataType, count: number, value: (index: number) => number): void {
  for (let i = 0; i < count; i++) {
    const element = value(i);
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[i] = BigInt(element);
    else if (dtype === "f16") data[i] = f32ToF16(element);
    else if (dtype === "bf16") data[i] = f32ToBf16(element);
    else if (isFloat8(dtype)) data[i] = f32ToF8(dtype, element);
    else data[i] = element;
  }
}

main(JSON.parse(process.argv[2] ?? "{}") as BenchConfig).catch((error: unknown) => {
  tell({ type: "error", message: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
  process.exitCode = 1;
});

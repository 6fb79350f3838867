/** One rank of `webccl bench coalesced` and `webccl bench persistent`: takes turns with two ways to the same result. */
import { parentPort } from "node:worker_threads";
import { initProcessGroup, type ProcessGroup } from "../../node/index.ts";
import type { Tensor } from "../../types.ts";
import type { ComparisonConfig, ComparisonMessage } from "./comparison.ts";
import { type BenchTensor, gpuBenchTensor, hostBenchTensor } from "./memory.ts";
import { ownEntry, transportOf } from "./place.ts";

/** Tensors of a coalesced call. */
const TENSORS = 100;
/** A turn's length, about, in milliseconds, and how long both ways run before they are timed. */
const TURN_MS = 10;
const WARM_UP_MS = 2_000;

const tell = (message: ComparisonMessage) => (parentPort ? parentPort.postMessage(message) : process.send?.(message));

/** One of the two ways. */
interface Way {
  readonly tensors: readonly BenchTensor[];
  run(): PromiseLike<unknown>;
}

async function main(config: ComparisonConfig): Promise<void> {
  const { device: backend, transport } = config;
  const group = await initProcessGroup({ backend, ...(transport === undefined ? {} : { transport }) });
  try {
    const device = group.info().executors.at(-1)?.name ?? "none";
    if (group.rank === 0) {
      tell({ type: "place", device, transport: transportOf(group), runtime: ownEntry(group).version });
    }
    for (const bytes of config.sizes) await measure(group, bytes, config);
  } finally {
    await group.destroy();
  }
}

async function measure(group: ProcessGroup, bytes: number, config: ComparisonConfig): Promise<void> {
  const ways = config.comparison === "coalesced" ? coalescedWays(group, bytes) : await persistentWays(group, bytes);
  let wrong = 0;
  for (const way of ways) wrong += await countWrong(group, way);
  const calls = await warmUp(group, ways);
  const times: [number[], number[]] = [[], []];
  for (let turn = 0; turn < config.turns; turn++) {
    // Neither way is always the first.
    for (const index of turn % 2 === 0 ? [0, 1] : [1, 0])
      times[index]!.push(await timeTurn(group, ways[index]!, calls));
  }
  for (const way of ways) wrong += await countWrong(group, way);
  for (const { tensors } of ways) for (const tensor of tensors) tensor.free();
  tell({ type: "wrong", bytes, wrong });
  if (group.rank === 0) tell({ type: "turns", bytes, firstUs: times[0], secondUs: times[1] });
}

function allocate(group: ProcessGroup, count: number): BenchTensor {
  const host = group.alloc("f32", count);
  return group.device ? gpuBenchTensor(group.device, host, "f32") : hostBenchTensor(host, "f32");
}

function coalescedWays(group: ProcessGroup, bytes: number): [Way, Way] {
  const count = Math.max(1, Math.round(bytes / 4 / TENSORS));
  const tensors = Array.from({ length: TENSORS }, () => allocate(group, count));
  const list: readonly Tensor[] = tensors.map(({ tensor }) => tensor);
  const whole = allocate(group, count * TENSORS);
  return [
    { tensors, run: () => group.allReduceCoalesced(list) },
    { tensors: [whole], run: () => group.allReduce(whole.tensor) },
  ];
}

async function persistentWays(group: ProcessGroup, bytes: number): Promise<[Way, Way]> {
  const count = Math.max(1, Math.round(bytes / 4));
  const [started, plain] = [allocate(group, count), allocate(group, count)];
  const call = group.persistent.allReduce(started.tensor);
  await call.ready;
  return [
    { tensors: [started], run: () => call.start() },
    { tensors: [plain], run: () => group.allReduce(plain.tensor) },
  ];
}

/** Runs once on elements that differ by rank and tensor; then the tensors are zero, and stay so. */
async function countWrong({ rank, size }: ProcessGroup, { tensors, run }: Way): Promise<number> {
  const value = (of: number, tensor: number, i: number) => ((of + 3) * (tensor + 1) + i) % 64;
  for (const [index, tensor] of tensors.entries()) {
    for (let i = 0; i < tensor.host.length; i++) tensor.host[i] = value(rank, index, i);
    await tensor.upload();
  }
  await run();
  let wrong = 0;
  for (const [index, tensor] of tensors.entries()) {
    await tensor.download();
    for (let i = 0; i < tensor.host.length; i++) {
      let sum = 0;
      for (let of = 0; of < size; of++) sum += value(of, index, i);
      if (tensor.host[i] !== sum) wrong++;
      tensor.host[i] = 0;
    }
    await tensor.upload();
  }
  return wrong;
}

/** Runs both ways for a while; returns how many calls make a turn, which rank 0 decides. */
async function warmUp(group: ProcessGroup, ways: readonly Way[]): Promise<number> {
  const calls = Int32Array.of(1);
  const goesOn = Int32Array.of(1);
  const end = performance.now() + WARM_UP_MS;
  while (goesOn[0] === 1) {
    let slowestUs = 0;
    for (const way of ways) slowestUs = Math.max(slowestUs, await timeTurn(group, way, calls[0]!));
    calls[0] = Math.max(1, Math.round((TURN_MS * 1000) / slowestUs));
    goesOn[0] = performance.now() < end ? 1 : 0;
    await group.broadcast(calls);
    await group.broadcast(goesOn);
  }
  return calls[0]!;
}

/** Microseconds of one call. */
async function timeTurn(group: ProcessGroup, { run }: Way, calls: number): Promise<number> {
  await group.barrier();
  const start = performance.now();
  for (let i = 0; i < calls; i++) await run();
  return ((performance.now() - start) * 1000) / calls;
}

main(JSON.parse(process.argv[2] ?? "{}") as ComparisonConfig).catch((error: unknown) => {
  tell({ type: "error", message: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
  process.exitCode = 1;
});

/**
 * One rank of a job on NCCL: runs the task that its argument names and prints one line of JSON. The environment says where
 * the addon and the libraries are, so the same program runs on the stand-ins and on a GPU.
 */

import { closeSync, openSync, readSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import * as nccl from "../../../native-nccl/index.js";
import {
  type HostTensor,
  initProcessGroup,
  type ProcessGroup,
  ReduceOp,
  WebcclError,
} from "../../../src/node/index.ts";
import { type CaseFilter, conformanceCases, encodeSmallFloat } from "../../../src/testing/index.ts";
import { runCases } from "../../conformance/run-cases.ts";
import { onDevice } from "../device-group.ts";

type Report = Record<string, unknown>;

const start = (options: Parameters<typeof initProcessGroup>[0] = {}) =>
  initProcessGroup({
    backend: process.env.BACKEND === "auto" ? "auto" : "nccl",
    ...(process.env.TRANSPORT === "hub" ? { transport: "hub" } : {}),
    loadNccl: async () => nccl,
    timeoutMs: 25_000,
    ...options,
  });

/** Which cases, as JSON in the environment. */
const filter = (): CaseFilter => JSON.parse(process.env.CASES ?? "{}");

async function conformance(wrap: (group: ProcessGroup) => ProcessGroup): Promise<Report> {
  const group = await start();
  const { backendName } = group;
  const { ranks, notes } = group.info();
  const cudaDevices = ranks.map(({ cudaDevice }) => cudaDevice);
  const cases = conformanceCases({ ...filter(), size: group.size });
  const report = await runCases(cudaDevices[group.rank] === null ? group : wrap(group), cases);
  const { lanes } = nccl.alive();
  await group.destroy();
  return { ...report, backendName, cudaDevices, notes, lanes };
}

/** What a promise rejects with, as plain values. */
async function rejection(promise: PromiseLike<unknown>): Promise<Report> {
  const from = performance.now();
  try {
    await promise;
    return { error: null };
  } catch (error) {
    const details = error instanceof WebcclError ? error.details : {};
    const { name, message } = error as Error;
    return {
      error: name,
      message,
      ms: performance.now() - from,
      peer: details.peer ?? null,
      field: details.field ?? null,
    };
  }
}

/** Where the user may do that; a process id is its first thread's. */
function preferThisThread(): void {
  try {
    setPriority(process.pid, constants.priority.PRIORITY_HIGHEST);
  } catch {
    // Then the loop competes like any other thread.
  }
}

/**
 * Watches the event loop; the function it returns ends that and tells the longest time in milliseconds between two of its
 * turns, 1 ms apart when nothing holds it up, less what its thread waited for a processor that others had.
 */
function watchLoop(): () => number {
  const state = openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
  const text = Buffer.alloc(100);
  // Nanoseconds on a processor, nanoseconds spent waiting for one, turns.
  const waitedMs = () => Number(text.toString("utf8", 0, readSync(state, text, 0, 100, 0)).split(" ")[1]) / 1e6;
  let [last, waited, longest] = [performance.now(), waitedMs(), 0];
  const timer = setInterval(() => {
    const [now, nowWaited] = [performance.now(), waitedMs()];
    longest = Math.max(longest, now - last - (nowWaited - waited));
    [last, waited] = [now, nowWaited];
  }, 1);
  return () => {
    clearInterval(timer);
    closeSync(state);
    return longest;
  };
}

/** What is alive in the addon and, as the stand-ins count it, in the libraries. */
function resources(): Report {
  const text = nccl.errorString(-1);
  const inLibraries = text.startsWith("{") ? JSON.parse(text) : {};
  return { ...nccl.alive(), ...inLibraries, rss: process.memoryUsage.rss() };
}

type Placed = { cuda: nccl.DeviceBuffer; dtype: "f32" };

/** For each operation, inputs and the result that every order of the ranks gives exactly, also in bf16. */
const EXACT: Record<string, { inputs(rank: number, size: number): number[]; result(size: number): number[] }> = {
  sum: { inputs: (rank) => [rank, 1, -2, 0.5], result: (size) => [(size * (size - 1)) / 2, size, -2 * size, size / 2] },
  product: { inputs: () => [2, -1, 0.5, 1], result: (size) => [2 ** size, (-1) ** size, 2 ** -size, 1] },
  min: { inputs: (rank) => [rank, 0 - rank, 3, 0.25], result: (size) => [0, -(size - 1) || 0, 3, 0.25] },
  max: { inputs: (rank) => [rank, rank - 8, 3, 0.25], result: (size) => [size - 1, size - 9, 3, 0.25] },
  avg: { inputs: (_, size) => [size, 2 * size, -size, 0], result: (size) => [size, 2 * size, -size, 0] },
  "premul-sum": { inputs: () => [1, 2, -4, 0.5], result: (size) => [2 * size, 4 * size, -8 * size, size] },
};

function hostTensor(dtype: "f16" | "bf16" | "f32" | "f64", values: number[]): HostTensor {
  if (dtype === "f32") return { data: Float32Array.from(values), dtype };
  if (dtype === "f64") return { data: Float64Array.from(values), dtype };
  return { data: Uint16Array.from(values, (value) => encodeSmallFloat(dtype, value)), dtype };
}

const tasks: Record<string, () => Promise<Report>> = {
  /** The suite on host arrays, and on CUDA memory. */
  host: () => conformance((group) => group),
  device: () => conformance((group) => onDevice(group, nccl)),

  /** What `initProcessGroup` does with the backend of the environment. */
  async start() {
    const started = start({ deterministic: process.env.DETERMINISTIC === "1", timeoutMs: 10_000 });
    const failure = await rejection(started);
    if (failure.error) return failure;
    const group = await started;
    const sum = Float32Array.of(group.rank + 1);
    await group.allReduce(sum);
    const premul = Float32Array.of(group.rank + 1);
    await group.allReduce(premul, { op: ReduceOp.premulSum(3) });
    const report = {
      sum: sum[0],
      premul: premul[0],
      backendName: group.backendName,
      nccl: group.info().nccl,
      notes: group.info().notes,
    };
    await group.destroy();
    return report;
  },

  /** Rank 0 calls something else than the others. */
  async mismatch() {
    const group = await start();
    const tensor = new Float32Array(group.rank === 0 ? 1000 : 2000);
    await group.barrier();
    const first = await rejection(group.allReduce(tensor));
    const later = await rejection(group.allReduce(new Float32Array(4)));
    await group.destroy();
    return { ...first, later };
  },

  /** Rank 0 sends another length than rank 1 expects. */
  async lengths() {
    const group = await start();
    const own = new Float32Array(3);
    const outputs = Array.from({ length: group.size }, (_, r) => new Float32Array(r === 1 && group.rank === 0 ? 5 : 3));
    const first = await rejection(group.gather(group.rank === 0 ? outputs : null, own));
    await group.destroy();
    return first;
  },

  /**
   * Messages of CUDA memory between ranks 0 and 1, which NCCL alone could not do: received in another order than sent, in
   * both directions at once, beside a collective, and one that does not fit, after which the group goes on.
   */
  async messages() {
    const group = await start();
    const { rank } = group;
    const other = 1 - rank;
    const tensor = async (...values: number[]) => {
      const cuda = new nccl.DeviceBuffer(4 * values.length, { device: rank });
      await cuda.copyFrom(Float32Array.from(values));
      return { cuda, dtype: "f32" as const };
    };
    const contents = async ({ cuda }: Placed) => {
      const values = new Float32Array(cuda.byteLength / 4);
      await cuda.copyTo(values);
      return [...values];
    };
    const sum = await tensor(rank + 1);
    await group.allReduce(sum);
    const { lanes } = nccl.alive();
    const [sent, received] = [
      await Promise.all([1, 2, 3].map((tag) => tensor(10 * rank + tag, -tag))),
      await Promise.all([1, 2, 3].map(() => tensor(0, 0))),
    ];
    const works = [1, 2, 3].map((tag) => group.send(sent[tag - 1]!, other, { tag }));
    const reduced = group.allReduce(sum);
    const sources = [3, 1, 2].map((tag) => group.recv(received[tag - 1]!, other, { tag }));
    await Promise.all([...works, ...sources, reduced]);
    const values = await Promise.all(received.map(contents));
    const more = nccl.alive().lanes - lanes;

    const host = new Float32Array(2);
    const mixed = await rejection(rank === 0 ? group.send(sent[0]!, 1) : group.recv(host, 0));
    const anySource = rank === 0 ? group.send(sent[0]!, 1) : group.recvAnySource(received[0]!);
    const source = await anySource;
    const report = { values, sum: await contents(sum), more, mixed, source, last: await contents(received[0]!) };
    await group.destroy();
    return report;
  },

  /** Rank 1 tells when rank 0 is about to send it something, and is killed before it receives, or while it does. */
  async messageToOne() {
    const group = await start();
    const tensor = { cuda: new nccl.DeviceBuffer(400, { device: group.rank }), dtype: "f32" as const };
    await group.barrier();
    if (group.rank === 0) {
      const failure = await rejection(group.send(tensor, 1));
      await group.destroy();
      return failure;
    }
    if (process.env.TASK === "interrupted") group.recv(tensor, 0);
    console.log("ready");
    await delay(20_000);
    return {};
  },

  /** allReduces until something goes wrong; tells when the first was done. */
  async loop() {
    const group = await start({ timeoutMs: Number(process.env.TIMEOUT_MS ?? 25_000) });
    const tensor = new Float32Array(300_000).fill(1);
    let done = 0;
    const failure = await rejection(
      (async () => {
        for (;;) {
          await group.allReduce(tensor, { op: "max" });
          if (++done === 1) console.log("first");
        }
      })(),
    );
    const later = await rejection(group.allReduce(tensor));
    await group.destroy();
    return { ...failure, done, later };
  },

  /** Rank 1 comes to the allReduce only when the others have given up. */
  async late() {
    const group = await start();
    await group.barrier();
    if (group.rank === 1) await delay(1500);
    const failure = await rejection(group.allReduce(new Float32Array(100), { timeoutMs: 500 }));
    await group.destroy();
    return failure;
  },

  /** The longest pause of the event loop in each of ROUNDS allReduces of 256 MiB: as perf_hooks tells it, and its own. */
  async delay() {
    const group = await start();
    const tensor = new Float32Array(64 * 2 ** 20);
    const times: { ms: number; ownMs: number; maxMs: number }[] = [];
    let wrong = 0;
    // The other threads have started: from here on only that of the event loop goes before those of other programs.
    await group.allReduce(tensor);
    preferThisThread();
    for (let round = 0; round < Number(process.env.ROUNDS ?? 3); round++) {
      tensor.fill(round + 1);
      globalThis.gc?.();
      await group.barrier();
      const histogram = monitorEventLoopDelay({ resolution: 1 });
      const ownMs = watchLoop();
      histogram.enable();
      const from = performance.now();
      await group.allReduce(tensor);
      const ms = performance.now() - from;
      histogram.disable();
      times.push({ ms, ownMs: ownMs(), maxMs: histogram.max / 1e6 });
      if (!tensor.every((value) => value === (round + 1) * group.size)) wrong++;
    }
    await group.destroy();
    return { times, wrong };
  },

  /** Floats of which every result is exact, so that a GPU's order and NaNs play no part. */
  async floats() {
    const group = await start();
    const { size, rank } = group;
    const wrong: string[] = [];
    let ran = 0;
    for (const dtype of ["f16", "bf16", "f32", "f64"] as const) {
      for (const [name, expected] of Object.entries(EXACT)) {
        const op = name === "premul-sum" ? ReduceOp.premulSum(2) : (name as "sum");
        const values = expected.inputs(rank, size);
        const tensor = hostTensor(dtype, values);
        await group.allReduce(tensor, { op });
        const [actual, wanted] = [tensor, hostTensor(dtype, expected.result(size))].map(({ data }) => data.join());
        if (actual !== wanted) wrong.push(`${dtype} ${name}: ${actual} in place of ${wanted}`);
        ran++;
      }
    }
    await group.destroy();
    return { ran, wrong };
  },

  /** GB/s of copies on this rank's device, and of allReduce on both kinds of memory. */
  async bandwidth() {
    const group = await start();
    const { size } = group;
    const device = Number(/device (\d+)/.exec(group.info().nccl)?.[1]);
    const rows: Record<string, unknown>[] = [];
    const most = Number(process.env.MOST_BYTES ?? 2 ** 28);
    const id = await nccl.getUniqueId();
    const own = await nccl.initRank(1, id, 0, { device });
    for (let bytes = 2 ** 12; bytes <= most; bytes *= 16) {
      const host = new Float32Array(bytes / 4).fill(1);
      const [a, b] = [0, 1].map(() => ({ cuda: new nccl.DeviceBuffer(bytes, { device }), dtype: "f32" as const })) as [
        Placed,
        Placed,
      ];
      const copyWithin = async () => {
        own.copyWithin(b, a);
        await own.flush();
      };
      const measured: [string, number, () => Promise<unknown>][] = [
        ["host to device", 1, () => a.cuda.copyFrom(host)],
        ["device to host", 1, () => a.cuda.copyTo(host)],
        ["device to device, read and write", 2, copyWithin],
        ["allReduce on the device", (2 * (size - 1)) / size || 1, () => group.allReduce(a).wait()],
        ["allReduce on the host", (2 * (size - 1)) / size || 1, () => group.allReduce(host).wait()],
      ];
      for (const [what, factor, run] of measured) {
        const times: number[] = [];
        for (let round = 0; round < 12; round++) {
          host.fill(1);
          await group.barrier();
          const from = performance.now();
          await run();
          if (round >= 2) times.push(performance.now() - from);
        }
        const ms = times.sort((x, y) => x - y)[times.length >> 1] as number;
        rows.push({ what, bytes, us: ms * 1000, busGBs: (bytes * factor) / ms / 1e6 });
      }
      for (const { cuda } of [a, b]) cuda.dispose();
    }
    await own.dispose();
    await group.destroy();
    return { rows };
  },

  /** A thousand operations of several kinds; what is alive at the end. */
  async thousand() {
    const group = await start();
    const [i32, f16] = [new Int32Array(1000), { data: new Uint16Array(333), dtype: "f16" as const }];
    const outputs = Array.from({ length: group.size }, () => new Int32Array(1000));
    const buffer = new nccl.DeviceBuffer(4096, { device: group.rank });
    const onGpu = { cuda: buffer, dtype: "f32" as const };
    const round = async () => {
      await group.allReduce(i32, { op: ReduceOp.premulSum(1) });
      await group.broadcast(f16, { root: group.size - 1 });
      await group.allGather(outputs, i32);
      await group.allReduce(onGpu);
      await group.scan(onGpu);
    };
    for (let i = 0; i < 40; i++) await round();
    globalThis.gc?.();
    const before = resources();
    for (let i = 0; i < 200; i++) await round();
    globalThis.gc?.();
    const after = resources();
    buffer.dispose();
    await group.destroy();
    // Memory is freed by another thread.
    for (let tries = 0; nccl.alive().deviceMemories > 0 && tries < 1000; tries++) await delay(10);
    return { before, after, end: resources() };
  },
};

console.log(JSON.stringify({ pid: process.pid, ...(await tasks[process.argv[2] as string]!()) }));

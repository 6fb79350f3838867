/**
 * One rank of a job on NCCL: runs the task that its argument names and prints one line of JSON. The environment says where
 * the addon and the libraries are, so the same program runs on the stand-ins and on a GPU.
 */

import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import * as nccl from "../../../native-nccl/index.js";
import { initProcessGroup, type ProcessGroup, ReduceOp, WebcclError } from "../../../src/node/index.ts";
import { type CaseFilter, conformanceCases } from "../../../src/testing/index.ts";
import { runCases } from "../../conformance/run-cases.ts";
import { onDevice } from "../device-group.ts";

type Report = Record<string, unknown>;

const start = (options: Parameters<typeof initProcessGroup>[0] = {}) =>
  initProcessGroup({ backend: "nccl", loadNccl: async () => nccl, timeoutMs: 25_000, ...options });

/** Which cases, as JSON in the environment. */
const filter = (): CaseFilter => JSON.parse(process.env.CASES ?? "{}");

async function conformance(wrap: (group: ProcessGroup) => ProcessGroup): Promise<Report> {
  const group = await start();
  const { backendName } = group;
  const cases = conformanceCases({ ...filter(), size: group.size });
  const report = await runCases(wrap(group), cases);
  await group.destroy();
  return { ...report, backendName };
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

const tasks: Record<string, () => Promise<Report>> = {
  /** The suite on host arrays, and on CUDA memory. */
  host: () => conformance((group) => group),
  device: () => conformance((group) => onDevice(group, nccl)),

  /** What `initProcessGroup` does with the backend of the environment. */
  async start() {
    const backend = process.env.BACKEND as "auto" | "nccl";
    const started = start({ backend, deterministic: process.env.DETERMINISTIC === "1", timeoutMs: 10_000 });
    const failure = await rejection(started);
    if (failure.error) return failure;
    const group = await started;
    const sum = Float32Array.of(group.rank + 1);
    await group.allReduce(sum);
    const report = { sum: sum[0], backendName: group.backendName, nccl: group.info().nccl, notes: group.info().notes };
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

  /** The longest pauses of the event loop while 256 MiB are reduced, of several times. */
  async delay() {
    const group = await start();
    const tensor = new Float32Array(64 * 2 ** 20);
    const times: { ms: number; maxMs: number; p99Ms: number }[] = [];
    let wrong = 0;
    for (let run = 0; run < 5; run++) {
      tensor.fill(run + 1);
      globalThis.gc?.();
      await group.barrier();
      const histogram = monitorEventLoopDelay({ resolution: 1 });
      histogram.enable();
      const from = performance.now();
      await group.allReduce(tensor);
      const ms = performance.now() - from;
      histogram.disable();
      times.push({ ms, maxMs: histogram.max / 1e6, p99Ms: histogram.percentile(99) / 1e6 });
      if (!tensor.every((value) => value === (run + 1) * group.size)) wrong++;
    }
    await group.destroy();
    return { times, wrong };
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
    const before = { ...nccl.alive(), rss: process.memoryUsage.rss() };
    for (let i = 0; i < 200; i++) await round();
    globalThis.gc?.();
    const after = { ...nccl.alive(), rss: process.memoryUsage.rss() };
    buffer.dispose();
    await group.destroy();
    await delay(100);
    return { before, after, end: nccl.alive() };
  },
};

console.log(JSON.stringify({ pid: process.pid, ...(await tasks[process.argv[2] as string]!()) }));

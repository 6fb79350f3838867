import { afterAll, describe, expect, it } from "vitest";
import type { Transfer } from "../src/algorithm/context.ts";
import type { Span } from "../src/executor/executor.ts";
import { TENSOR_USAGE } from "../src/executor/gpu-tensor.ts";
import { initProcessGroup } from "../src/node/index.ts";
import type { ProcessGroup } from "../src/process-group.ts";
import { ReduceOp } from "../src/reduce-op.ts";
import { freePort } from "./conformance/harness.ts";
import { gpuEnvironment, testExecutor } from "./support/gpu.ts";

Object.assign(process.env, gpuEnvironment());

const SEGMENT_BYTES = 262_144;
const SEGMENTS = 8;
const BYTES = 2 * SEGMENTS * SEGMENT_BYTES;

const groups: ProcessGroup[] = [];
afterAll(() => Promise.all(groups.map((group) => group.destroy())));

describe("allReduce() of a GPUBuffer in 8 segments", () => {
  it("reads several segments at once, and sends one while the next is still being read", async () => {
    const port = await freePort();
    const transfers: Transfer[][] = [[], []];
    const options = { initMethod: `tcp://127.0.0.1:${port}`, backend: "webgpu", segmentBytes: SEGMENT_BYTES } as const;
    const joined = await Promise.all(
      transfers.map((own, rank) =>
        initProcessGroup({ ...options, rank, worldSize: 2, onTransfer: (transfer) => own.push(transfer) }),
      ),
    );
    groups.push(...joined);
    const tensors = joined.map(({ device }) => device!.createBuffer({ size: BYTES, usage: TENSOR_USAGE }));
    const run = () =>
      Promise.all(
        joined.map((group, i) => group.allReduce({ buffer: tensors[i]!, dtype: "f32" }, { algorithm: "ring" })),
      );
    await run();
    for (const own of transfers) own.length = 0;
    for (let i = 0; i < 3; i++) await run();
    const found = transfers.map((own) => {
      const reads = own.filter(({ step }) => step === "read");
      const sends = own.filter(({ step }) => step === "send");
      const outstanding = reads.map(({ start }) => reads.filter((one) => one.start <= start && start < one.end).length);
      // A segment is sent as soon as it is read: the n-th read is that of the n-th send.
      const sentBefore = reads.filter(({ end }, n) => n > 0 && sends[n - 1]!.end <= end);
      return { reads: reads.length, mostOutstanding: Math.max(...outstanding), sentBefore: sentBefore.length };
    });
    console.log(`overlap of readback and wire: ${JSON.stringify(found)}`);
    for (const { reads, mostOutstanding, sentBefore } of found) {
      expect(reads).toBe(3 * 2 * SEGMENTS);
      expect(mostOutstanding).toBeGreaterThanOrEqual(2);
      expect(sentBefore).toBeGreaterThan(reads / 6);
    }
  });
});

describe("read()", () => {
  it("does not wait for what was asked for after it, in one turn though it was", async () => {
    const gpu = await testExecutor();
    const [small, large] = [gpu.scratch("f32", 16), gpu.scratch("f32", 2 ** 24)];
    gpu.fill(small, 1);
    gpu.fill(large, 1);
    await gpu.settled();
    const submits = gpu.stats.submits;
    const ended: string[] = [];
    const read = async (name: string, span: Span) => {
      const lease = await gpu.read(span);
      ended.push(name);
      lease.release();
    };
    const first = read("before", small);
    for (let i = 0; i < 4; i++) gpu.reduce(ReduceOp.SUM, large, large, large);
    const second = read("after", gpu.slice(large, 0, 16));
    await first;
    expect(ended).toEqual(["before"]);
    await second;
    expect(gpu.stats.submits - submits).toBe(2);
    gpu.release(small);
    gpu.release(large);
    await gpu.dispose();
  });
});

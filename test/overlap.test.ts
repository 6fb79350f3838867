import { afterAll, describe, expect, it } from "vitest";
import type { Transfer } from "../src/algorithm/context.ts";
import { TENSOR_USAGE } from "../src/executor/gpu-tensor.ts";
import { initProcessGroup } from "../src/node/index.ts";
import type { ProcessGroup } from "../src/process-group.ts";
import { freePort } from "./conformance/harness.ts";
import { gpuEnvironment } from "./support/gpu.ts";

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
      const sentWhileReading = reads.filter(({ slot, start, end }) =>
        sends.some((send) => send.slot === slot - 1 && send.end > start && send.end <= end),
      );
      return {
        reads: reads.length,
        mostOutstanding: Math.max(...outstanding),
        sentWhileReading: sentWhileReading.length,
      };
    });
    console.log(`overlap of readback and wire: ${JSON.stringify(found)}`);
    for (const { reads, mostOutstanding, sentWhileReading } of found) {
      expect(reads).toBe(3 * 2 * SEGMENTS);
      expect(mostOutstanding).toBeGreaterThanOrEqual(2);
      expect(sentWhileReading).toBeGreaterThan(0);
    }
  });
});

import { afterEach, describe, expect, it } from "vitest";
import type { GpuExecutor, ReadbackTimes } from "../../src/executor/webgpu/create-executor.ts";
import type { GpuSpan } from "../../src/executor/webgpu/memory/span.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { defaultDevice, testExecutor, testGpu } from "../helpers/gpu.ts";

const COUNT = 1000;
const opened: GpuExecutor[] = [];
afterEach(() => Promise.all(opened.splice(0).map((gpu) => gpu.dispose())));

async function timed(device?: GPUDevice): Promise<{ gpu: GpuExecutor; heard: ReadbackTimes[] }> {
  const heard: ReadbackTimes[] = [];
  const gpu = await testExecutor({ ...(device ? { device } : {}), onReadback: (times) => heard.push(times) });
  opened.push(gpu);
  return { gpu, heard };
}

async function read(gpu: GpuExecutor, span: GpuSpan): Promise<Float32Array> {
  const lease = await gpu.read(span);
  const values = new Float32Array(lease.bytes.slice().buffer);
  lease.release();
  return values;
}

/** A fold in a submit of its own, and so in a pass of its own. */
async function foldAlone(gpu: GpuExecutor, span: GpuSpan): Promise<void> {
  gpu.reduce(ReduceOp.SUM, span, span, span);
  await Promise.resolve();
  await Promise.resolve();
}

describe("onReadback", () => {
  it("hears of each readback once, with the passes since the one before, in the order of the queue", async () => {
    const { gpu, heard } = await timed();
    const span = gpu.scratch("f32", COUNT) as GpuSpan;
    gpu.fill(span, 1);
    const before = { ...gpu.stats };
    await foldAlone(gpu, span);
    await foldAlone(gpu, span);
    expect(await read(gpu, span)).toEqual(new Float32Array(COUNT).fill(4));
    const first = read(gpu, gpu.slice(span, 0, 3) as GpuSpan);
    gpu.reduce(ReduceOp.SUM, span, span, span);
    const second = read(gpu, gpu.slice(span, 1, 4) as GpuSpan);
    expect([await first, await second]).toEqual([new Float32Array(3).fill(4), new Float32Array(4).fill(8)]);
    // The fill is in the first fold's submit.
    expect(heard.map(({ passes }) => passes?.length)).toEqual([2, 0, 1]);
    expect(gpu.stats.mapAsyncCalls - before.mapAsyncCalls).toBe(heard.length);
    const passes = heard.flatMap((times) => times.passes!);
    const edges = passes.flatMap(({ start, end }) => [start, end]);
    expect(edges).toEqual([...edges].sort((a, b) => a - b));
    for (const { start, end, passes } of heard) {
      expect(end).toBeGreaterThan(start);
      for (const { submitted } of passes!) {
        expect(submitted).toBeGreaterThan(0);
        expect(submitted).toBeLessThanOrEqual(end);
      }
    }
    gpu.release(span);
  });

  it("leaves out what was done before the device was last idle", async () => {
    const { gpu, heard } = await timed();
    const span = gpu.scratch("f32", COUNT) as GpuSpan;
    gpu.fill(span, 1);
    await gpu.settled();
    await read(gpu, span);
    expect(heard.map(({ passes }) => passes)).toEqual([[]]);
    gpu.release(span);
  });

  it("tells nothing of passes rather than of some, where there are too many", async () => {
    const { gpu, heard } = await timed();
    const span = gpu.scratch("f32", COUNT) as GpuSpan;
    gpu.fill(span, 0);
    for (let i = 0; i < 257; i++) await foldAlone(gpu, span);
    await read(gpu, span);
    await foldAlone(gpu, span);
    await read(gpu, span);
    expect(heard.map(({ passes }) => passes?.length ?? null)).toEqual([null, 1]);
    gpu.release(span);
  });

  it("tells of no passes where the device has no timestamps", async () => {
    const device = await defaultDevice();
    expect(device.features.has("timestamp-query")).toBe(false);
    const { gpu, heard } = await timed(device);
    const span = gpu.scratch("f32", COUNT) as GpuSpan;
    gpu.fill(span, 2);
    expect(await read(gpu, span)).toEqual(new Float32Array(COUNT).fill(2));
    expect(heard.map(({ passes }) => passes)).toEqual([null]);
    gpu.release(span);
  });

  it("costs others on the device nothing, and leaves no buffer behind", async () => {
    const adapter = await (await testGpu()).requestAdapter();
    const device = await adapter!.requestDevice({ requiredFeatures: ["timestamp-query"] });
    const other = await testExecutor({ device });
    opened.push(other);
    const span = other.scratch("f32", COUNT) as GpuSpan;
    other.fill(span, 1);
    await read(other, span);
    const { liveBuffers } = other.stats;
    const { gpu, heard } = await timed(device);
    expect(other.stats.liveBuffers).toBe(liveBuffers + 1);
    await gpu.dispose();
    await read(other, span);
    expect(heard).toEqual([]);
    expect(other.stats.liveBuffers).toBe(liveBuffers);
    other.release(span);
  });
});

/** No GPU memory is left: an executor, and two ranks on its device. */
import { describe, expect, it } from "vitest";
import type { GpuExecutor } from "../../src/executor/webgpu/create-executor.ts";
import { TENSOR_USAGE } from "../../src/executor/webgpu/usage.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import { testExecutor } from "../helpers/gpu.ts";

const MEBIBYTE = 2 ** 20;
/** More than SwiftShader ever has in one piece. */
const TOO_MUCH = 2 ** 30;

/** From now on the device has memory for `budget` bytes more: an allocation beyond it asks the driver for more than it has. */
function limitMemory({ device }: GpuExecutor, budget: number): void {
  let left = budget;
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    if (descriptor.size > left) return create({ ...descriptor, size: TOO_MUCH, usage: descriptor.usage });
    left -= descriptor.size;
    const buffer = create(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      left += descriptor.size;
      return destroy();
    };
    return buffer;
  };
}

async function withLittleMemory(budget: number, body: (gpu: GpuExecutor) => Promise<void>): Promise<void> {
  const gpu = await testExecutor();
  const uncaptured: string[] = [];
  gpu.device.onuncapturederror = ({ error }) => uncaptured.push(error.message);
  try {
    limitMemory(gpu, budget);
    await body(gpu);
    await gpu.settled();
    expect(uncaptured).toEqual([]);
  } finally {
    await gpu.dispose();
  }
}

describe("admit()", () => {
  it("sets memory aside; where it is short, lets go what is idle and tries half as much, once", () =>
    withLittleMemory(24 * MEBIBYTE, async (gpu) => {
      const span = gpu.span(viewOf(gpu.alloc("f32", 4)));
      const asked = (megabytes: number, scratch = 2) =>
        gpu.admit([span], ReduceOp.SUM, { segmentBytes: megabytes * MEBIBYTE, segments: 4, scratch });
      // One buffer to read back and two of scratch for each segment: 12 MiB.
      expect(await asked(1)).toBe(4);
      const live = gpu.stats.liveBuffers;
      expect(await asked(1)).toBe(4);
      expect(gpu.stats.liveBuffers).toBe(live);
      // 36 MiB are too much, half of that is enough once the others are gone.
      expect(await asked(3)).toBe(2);
      expect(gpu.stats.liveBuffers).toBeLessThan(live);
      // 4 MiB without scratch, 28 with six segments of it for each.
      expect(await asked(1, 0)).toBe(4);
      expect(await asked(1, 6)).toBe(2);
      await expect(asked(8)).rejects.toThrow(
        /^no GPU memory for 2 of 4 segments of 8388608 bytes: .*OUT_OF_DEVICE_MEMORY/,
      );
      expect(await asked(1)).toBe(4);
    }));
});

describe("scratch()", () => {
  it("for which there is no memory fails what uses it, and is not lent again", () =>
    withLittleMemory(4 * MEBIBYTE, async (gpu) => {
      const taken = gpu.alloc("f32", MEBIBYTE);
      const missing = gpu.scratch("f32", 1000);
      gpu.fill(missing, 1);
      await expect(gpu.settled()).rejects.toThrow(/no GPU memory for a buffer of \d+ bytes/);
      gpu.release(missing);
      taken.buffer.destroy();
      const there = gpu.scratch("f32", 1000);
      gpu.fill(there, 1);
      await gpu.settled();
      gpu.release(there);
    }));
});

describe("allReduce()", () => {
  it("without memory for its segments is refused before its first byte, and the group goes on", () =>
    withLittleMemory(16 * MEBIBYTE, async (gpu) => {
      const { device } = gpu;
      const groups = await Promise.all(
        [0, 1].map((rank) =>
          initProcessGroup({ initMethod: "memory://scarce", rank, worldSize: 2, device, segmentBytes: MEBIBYTE }),
        ),
      );
      const tensors = groups.map(() => gpu.alloc("f32", MEBIBYTE));
      for (const tensor of tensors) gpu.fill(gpu.span(viewOf(tensor)), 1);
      const run = () => Promise.allSettled(groups.map((group, i) => group.allReduce(tensors[i]!)));
      const sum = async () => {
        const lease = await gpu.read(gpu.span(viewOf({ ...tensors[1]!, count: 1 })));
        const [value] = new Float32Array(lease.bytes.buffer, lease.bytes.byteOffset, 1);
        lease.release();
        return value;
      };
      const rest = device.createBuffer({ size: 7 * MEBIBYTE, usage: TENSOR_USAGE });
      for (const { reason } of (await run()) as PromiseRejectedResult[]) {
        expect(String(reason)).toMatch(/no GPU memory for 1 of 2 segments of 1048576 bytes/);
      }
      expect(await sum()).toBe(1);
      rest.destroy();
      expect((await run()).map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
      expect(await sum()).toBe(2);
      await Promise.all(groups.map((group) => group.destroy()));
    }));
});

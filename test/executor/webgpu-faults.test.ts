import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { DeviceLostError, NoAdapterError } from "../../src/errors.ts";
import type { Span } from "../../src/executor/executor.ts";
import { createWebgpuExecutor, type GpuExecutor } from "../../src/executor/webgpu/create-executor.ts";
import { GPUBufferUsage, TENSOR_USAGE } from "../../src/executor/webgpu/usage.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import type { GpuTensor } from "../../src/types.ts";
import { defaultDevice, gpuEnvironment, testExecutor } from "../helpers/gpu.ts";
import { runNode } from "../helpers/output-of.ts";

/** Runs `body` with an executor of its own and counts what reaches the user's handler. */
async function withExecutor(body: (gpu: GpuExecutor) => Promise<void>): Promise<void> {
  const gpu = await testExecutor();
  const uncaptured: string[] = [];
  const handler = (event: Event) => uncaptured.push((event as GPUUncapturedErrorEvent).error.message);
  gpu.device.addEventListener("uncapturederror", handler);
  try {
    await body(gpu);
    expect(uncaptured).toEqual([]);
  } finally {
    gpu.device.removeEventListener("uncapturederror", handler);
    await gpu.dispose();
  }
}

const tensorOn = (device: GPUDevice, usage: number = TENSOR_USAGE): GpuTensor => ({
  buffer: device.createBuffer({ size: 1024, usage }),
  dtype: "f32",
});

describe("createWebgpuExecutor()", () => {
  it("says what is missing where there is no adapter", async () => {
    const none = { requestAdapter: () => Promise.resolve(null) } as unknown as GPU;
    const error = await createWebgpuExecutor({ gpu: none, hint: "install a driver" }).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(NoAdapterError);
    expect((error as Error).message).toBe("WebGPU found no adapter: install a driver");
    // Node has no navigator.gpu of its own.
    await expect(createWebgpuExecutor()).rejects.toThrow("this runtime has no WebGPU");
  });
});

describe("span()", () => {
  it("refuses what is not a usable tensor, and says why", () =>
    withExecutor(async (gpu) => {
      const { device } = gpu;
      const tensor = tensorOn(device);
      const refused: [unknown, RegExp][] = [
        [new Float32Array(4), /pass \{ buffer, dtype \} with a GPUBuffer/],
        [{ ...tensor, dtype: "f8" }, /f8 is not a dtype/],
        [tensorOn(device, GPUBufferUsage.STORAGE), /needs the usage COPY_SRC and COPY_DST/],
        [{ ...tensor, byteOffset: 2 }, /byteOffset .* multiple of 4, got 2/],
        [{ ...tensor, byteOffset: -4 }, /byteOffset .* multiple of 4, got -4/],
        [{ ...tensor, count: 1.5 }, /count .* whole number, got 1.5/],
        [{ ...tensor, dtype: "u8" }, /u8 tensor in a GPUBuffer needs its count/],
        [{ ...tensor, dtype: "i64", byteOffset: 4 }, /not a whole number of i64 elements/],
      ];
      for (const [value, message] of refused) {
        expect(() => gpu.span(viewOf(value as GpuTensor))).toThrow(TypeError);
        expect(() => gpu.span(viewOf(value as GpuTensor))).toThrow(message);
      }
      expect(() => gpu.span(viewOf({ ...tensor, byteOffset: 4, count: 256 }))).toThrow(RangeError);
      expect(viewOf(tensor).memory).toBe(gpu.memoryKind);
      expect(viewOf(new Float32Array(4)).memory).not.toBe(gpu.memoryKind);

      const mapped = device.createBuffer({ size: 1024, usage: TENSOR_USAGE, mappedAtCreation: true });
      expect(() => gpu.span(viewOf({ buffer: mapped, dtype: "f32" }))).toThrow(/is mapped: unmap it first/);
      mapped.unmap();
      expect(gpu.span(viewOf({ buffer: mapped, dtype: "f32" })).count).toBe(256);
    }));
});

describe("a buffer of another device, or a destroyed one", () => {
  const faults: [string, (gpu: GpuExecutor) => Promise<GpuTensor>][] = [
    ["another device's", async () => tensorOn(await defaultDevice())],
    [
      "a destroyed",
      async (gpu) => {
        const tensor = tensorOn(gpu.device);
        tensor.buffer.destroy();
        return tensor;
      },
    ],
  ];
  it.each(faults)("is refused when asked about, and gives no bytes when not: %s", (_, make) =>
    withExecutor(async (gpu) => {
      const bad = gpu.span(viewOf(await make(gpu)));
      await expect(gpu.admit([bad], ReduceOp.SUM)).rejects.toThrow(TypeError);
      await expect(gpu.read(bad)).rejects.toThrow(/may belong to another GPUDevice, be destroyed/);
      await expect(gpu.settled()).rejects.toThrow(TypeError);

      // It is over once settled() has told of it.
      const good = gpu.span(viewOf(tensorOn(gpu.device)));
      await gpu.admit([good], ReduceOp.SUM);
      gpu.fill(good, 1);
      gpu.reduce(ReduceOp.SUM, good, good, good);
      const lease = await gpu.read(good);
      expect(new Float32Array(lease.bytes.buffer, lease.bytes.byteOffset, 1)[0]).toBe(2);
      lease.release();
      await gpu.settled();

      gpu.reduce(ReduceOp.SUM, good, good, bad);
      await expect(gpu.settled()).rejects.toThrow(TypeError);
    }),
  );

  it("leaves the user's own errors to the user", () =>
    withExecutor(async (gpu) => {
      const span = gpu.scratch("f32", 100);
      gpu.fill(span, 1);
      gpu.device.pushErrorScope("validation");
      gpu.device.createBuffer({ size: 16, usage: 0xffff });
      const own = gpu.device.popErrorScope();
      await gpu.settled();
      expect((await own)?.message).toBeTruthy();
      gpu.release(span);
    }));
});

describe("out of memory", () => {
  it("fails what needs the memory, and nothing after it", () =>
    withExecutor(async (gpu) => {
      const huge = gpu.scratch("f32", 2 ** 31);
      const span = gpu.scratch("f32", 4);
      gpu.copy(gpu.slice(huge, 0, 4), span);
      await expect(gpu.settled()).rejects.toThrow(/no GPU memory for a buffer of 8589934592 bytes/);
      gpu.fill(span, 1);
      await gpu.settled();
      gpu.release(span);
    }));
});

describe("a lost device", () => {
  it("rejects what is under way and what comes later with DeviceLostError, and gives no bytes", async () => {
    for (let i = 0; i < 10; i++) {
      const device = await defaultDevice();
      const gpu = await testExecutor({ device });
      const spans: Span[] = Array.from({ length: 4 }, () => gpu.scratch("f32", 2 ** 18));
      for (const span of spans) gpu.fill(span, 1);
      const reads = spans.map((span) => Promise.resolve(gpu.read(span)));
      const waits = [...reads, gpu.settled()];
      const start = performance.now();
      device.destroy();
      for (const result of await Promise.allSettled(waits)) {
        expect(result.status).toBe("rejected");
        expect((result as PromiseRejectedResult).reason).toBeInstanceOf(DeviceLostError);
      }
      await expect(gpu.read(spans[0]!)).rejects.toThrow(DeviceLostError);
      await expect(gpu.admit([gpu.span(viewOf(tensorOn(device)))], null)).rejects.toThrow(DeviceLostError);
      gpu.reduce(ReduceOp.SUM, spans[0]!, spans[1]!, spans[2]!);
      await expect(gpu.settled()).rejects.toThrow(DeviceLostError);
      expect(performance.now() - start).toBeLessThan(500);
      await gpu.dispose();
    }
  });
});

describe("dispose()", () => {
  it("leaves no buffer, and lets the process end, after 200 rounds on one device", async () => {
    const program = fileURLToPath(new URL("programs/gpu-rounds.ts", import.meta.url));
    expect(await runNode(program, gpuEnvironment())).toEqual([0]);
  }, 60_000);
});

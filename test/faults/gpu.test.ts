import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import type { InitOptions, InternalOptions } from "../../src/bring-up/init-options.ts";
import { DeviceLostError, MismatchError } from "../../src/errors.ts";
import { GPUBufferUsage, TENSOR_USAGE } from "../../src/executor/webgpu/usage.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import type { GpuTensor } from "../../src/types.ts";
import { runDeno } from "../helpers/deno.ts";
import { freePort } from "../helpers/free-port.ts";
import { defaultDevice, gpuEnvironment } from "../helpers/gpu.ts";
import { runNode } from "../helpers/output-of.ts";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

let groups: ProcessGroup[] = [];
afterEach(async () => {
  await Promise.all(groups.splice(0).map((group) => group.destroy()));
});

let jobs = 0;

/** One rank for each device, in memory or over sockets. */
async function join(
  devices: readonly GPUDevice[],
  options: InitOptions & InternalOptions = {},
): Promise<ProcessGroup[]> {
  const initMethod = `memory://gpu-faults-${jobs++}`;
  const joined = await Promise.all(
    devices.map((device, rank) =>
      initProcessGroup({ initMethod, timeoutMs: 10_000, ...options, rank, worldSize: devices.length, device }),
    ),
  );
  groups = groups.concat(joined);
  return joined;
}

function ones(device: GPUDevice, count: number): GpuTensor {
  const buffer = device.createBuffer({ size: 4 * count, usage: TENSOR_USAGE });
  device.queue.writeBuffer(buffer, 0, new Float32Array(count).fill(1));
  return { buffer, dtype: "f32" };
}

async function firstOf(device: GPUDevice, { buffer }: GpuTensor): Promise<number> {
  const staging = device.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, 4);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  const [value] = new Float32Array(staging.getMappedRange());
  staging.destroy();
  return value!;
}

/** Deno would else fall back to OpenGL. */
const NO_DRIVER = {
  ...{ VK_ICD_FILENAMES: "/nonexistent.json", VK_DRIVER_FILES: "/nonexistent.json" },
  DENO_WEBGPU_BACKEND: "vulkan",
};

describe("without an adapter", () => {
  it("backend webgpu rejects with the hint of Node, and auto takes the cpu and says why", async () => {
    const found = (await runNode(path("programs/no-adapter-node.ts"), NO_DRIVER)) as Record<string, string>;
    expect(found.error).toMatch(/^NoAdapterError: WebGPU found no adapter: .*VK_ICD_FILENAMES/);
    expect(found).toMatchObject({ executors: "cpu", sum: "2" });
    expect(found.gpu).toMatch(/pass backend: "webgpu" or a device/);
  });

  it("backend webgpu rejects with the hint of Deno, and auto takes the cpu and says why", async () => {
    const found = JSON.parse(await runDeno(path("programs/no-adapter-deno.ts"), [], NO_DRIVER));
    expect(found.error).toMatch(/^NoAdapterError: WebGPU found no adapter: .*mesa-vulkan-drivers/);
    expect(found).toMatchObject({ executors: "cpu", sum: "2" });
    expect(found.gpu).toMatch(/^WebGPU found no adapter: .*mesa-vulkan-drivers/);
  });
});

describe("a device that is lost in the middle of an allReduce", () => {
  it("rejects it here in 500 ms and at the other ranks in 1 s, ten times of ten, and gives no data", {
    timeout: 60_000,
  }, async () => {
    const [own, others]: number[][] = [[], []];
    for (let round = 0; round < 10; round++) {
      const devices = await Promise.all([defaultDevice(), defaultDevice()]);
      const victim = round % 2;
      let onTransfer = () => {};
      const underWay = new Promise<void>((resolve) => {
        onTransfer = resolve;
      });
      const initMethod = `tcp://127.0.0.1:${await freePort()}`;
      const joined = await join(devices, { initMethod, segmentBytes: 65_536, onTransfer });
      const works = joined.map((group, i) => group.allReduce(ones(devices[i]!, 2 ** 20)));
      await underWay;
      const start = performance.now();
      devices[victim]!.destroy();
      await Promise.all(
        works.map(async (work, rank) => {
          const error = await work.then(
            () => "data",
            (reason: unknown) => reason,
          );
          expect(error, `rank ${rank}`).toBeInstanceOf(DeviceLostError);
          (rank === victim ? own : others)!.push(performance.now() - start);
        }),
      );
      await expect(joined[victim]!.barrier()).rejects.toThrow(DeviceLostError);
      await Promise.all(joined.map((group) => group.destroy()));
      for (const device of devices) device.destroy();
    }
    const [worst, worstOther] = [Math.max(...own!), Math.max(...others!)];
    console.log(
      `device lost: ${own!.length} times, here ≤ ${worst.toFixed(0)} ms, elsewhere ≤ ${worstOther.toFixed(0)} ms`,
    );
    expect(worst).toBeLessThanOrEqual(500);
    expect(worstOther).toBeLessThanOrEqual(1000);
  });
});

describe("a tensor that the device cannot use", () => {
  /** What rank 1 passes, and what its error says. */
  const faults: [string, (device: GPUDevice) => Promise<GpuTensor>, RegExp][] = [
    ["another device's", async () => ones(await defaultDevice(), 100), /may belong to another GPUDevice/],
    [
      "a destroyed one",
      async (device) => {
        const tensor = ones(device, 100);
        tensor.buffer.destroy();
        return tensor;
      },
      /be destroyed/,
    ],
    [
      "one there was no memory for",
      async (device) => {
        device.pushErrorScope("out-of-memory");
        device.pushErrorScope("validation");
        const buffer = device.createBuffer({ size: 2 ** 40, usage: TENSOR_USAGE });
        await Promise.all([device.popErrorScope(), device.popErrorScope()]);
        return { buffer, dtype: "f32", count: 100 };
      },
      /refused a command/,
    ],
  ];
  it.each(faults)("%s: a TypeError there, a MismatchError elsewhere, and the group goes on", async (_, make, words) => {
    const devices = await Promise.all([defaultDevice(), defaultDevice(), defaultDevice()]);
    const uncaptured: string[] = [];
    for (const device of devices) {
      device.addEventListener("uncapturederror", (event) => uncaptured.push(event.error.message));
    }
    const joined = await join(devices);
    const bad = await make(devices[1]!);
    const tensors = devices.map((device, rank) => (rank === 1 ? bad : ones(device, 100)));
    const errors = await Promise.all(
      joined.map((group, rank) =>
        group.allReduce(tensors[rank]!).then(
          () => null,
          (error: unknown) => error,
        ),
      ),
    );
    expect(errors[1]).toBeInstanceOf(TypeError);
    expect((errors[1] as Error).message).toMatch(words);
    for (const rank of [0, 2]) {
      expect(errors[rank]).toBeInstanceOf(MismatchError);
      expect((errors[rank] as Error).message).toMatch(/rank 1 cannot take part: .*refused a command/);
    }
    const good = devices.map((device) => ones(device, 100));
    await Promise.all(joined.map((group, rank) => group.allReduce(good[rank]!)));
    expect(await firstOf(devices[1]!, good[1]!)).toBe(3);
    expect(uncaptured).toEqual([]);
    for (const device of devices) device.destroy();
  });

  it("one that rank 1 destroys during the call: on a device that all share, nobody else is blamed for it", async () => {
    for (const collective of ["allReduce", "broadcast", "allGather"] as const) {
      const device = await defaultDevice();
      const joined = await join([device, device, device]);
      const tensors = joined.map(() => ones(device, 200_000));
      const works = joined.map((group, rank) =>
        collective === "allReduce"
          ? group.allReduce(tensors[rank]!)
          : collective === "broadcast"
            ? group.broadcast(tensors[rank]!, { root: 1 })
            : group.allGather(
                joined.map(() => ones(device, 200_000)),
                tensors[rank]!,
              ),
      );
      tensors[1]!.buffer.destroy();
      const errors = (await Promise.allSettled(works)).flatMap((end) =>
        end.status === "rejected" ? [end.reason] : [],
      );
      expect(errors.length, collective).toBe(3);
      for (const { message } of errors) {
        expect(message).toMatch(/rank 1 (failed|cannot take part)|rank [02] failed: its own tensors are usable/);
        expect(message).toMatch(/destroyed/);
      }
      await Promise.all(joined.map((group) => group.destroy()));
      device.destroy();
    }
  });

  it("a mapped one, or one without the usage flags, is refused before the call", async () => {
    const device = await defaultDevice();
    const joined = await join([device, device]);
    const mapped = device.createBuffer({ size: 400, usage: TENSOR_USAGE, mappedAtCreation: true });
    const bare = device.createBuffer({ size: 400, usage: GPUBufferUsage.STORAGE });
    await expect(joined[0]!.allReduce({ buffer: mapped, dtype: "f32" })).rejects.toThrow(/is mapped: unmap it first/);
    await expect(joined[0]!.allReduce({ buffer: bare, dtype: "f32" })).rejects.toThrow(/usage COPY_SRC and COPY_DST/);
    for (const outcome of await Promise.allSettled(joined.map((group) => group.barrier()))) {
      expect(String((outcome as PromiseRejectedResult).reason)).toContain("after 2 calls that were refused");
    }
    const good = joined.map(() => ones(device, 100));
    await Promise.all(joined.map((group, rank) => group.allReduce(good[rank]!)));
    expect(await firstOf(device, good[0]!)).toBe(2);
    await Promise.all(joined.map((group) => group.destroy()));
    device.destroy();
  });
});

describe("a message of a tensor that the device cannot use", () => {
  const destroyed = (device: GPUDevice) => {
    const tensor = ones(device, 100);
    tensor.buffer.destroy();
    return tensor;
  };

  it("is a TypeError and no message: the next one takes its place, and the group goes on", async () => {
    const device = await defaultDevice();
    const [sender, receiver] = await join([device, device]);
    for (const bad of [destroyed(device), ones(await defaultDevice(), 100)]) {
      const tensor = ones(device, 100);
      device.queue.writeBuffer(tensor.buffer, 0, new Float32Array(100).fill(7));
      const received = ones(device, 100);
      const refusedSend = sender!.send(bad, 1);
      const sent = sender!.send(tensor, 1);
      const refusedRecv = receiver!.recv(bad, 0);
      await Promise.all([
        expect(refusedSend).rejects.toThrow(TypeError),
        expect(refusedRecv).rejects.toThrow(/be destroyed or be mapped/),
        sent,
        receiver!.recv(received, 0),
      ]);
      expect(await firstOf(device, received)).toBe(7);
    }
    device.destroy();
  });

  it("refuses itself alone in a batch, and the others keep the order of their calls", async () => {
    const device = await defaultDevice();
    const [sender, receiver] = await join([device, device]);
    const first = ones(device, 1);
    const received = [new Float32Array(1), new Float32Array(1), new Float32Array(1)];
    const batch = sender!.coalesce(() => {
      sender!.send(first, 1);
      sender!.send(destroyed(device), 1);
      sender!.send(Float32Array.of(2), 1);
      sender!.send(Float32Array.of(3), 1);
    });
    const inOrder = Promise.all(received.map((tensor) => receiver!.recv(tensor, 0)));
    await expect(batch).rejects.toThrow(TypeError);
    await inOrder;
    expect(received.map(([value]) => value)).toEqual([1, 2, 3]);
    device.destroy();
  });

  it("may be withdrawn by its signal before it is admitted", async () => {
    const device = await defaultDevice();
    const [sender, receiver] = await join([device, device]);
    const stop = new AbortController();
    const tensor = ones(device, 100);
    const withdrawn = receiver!.recv(tensor, 0, { signal: stop.signal });
    stop.abort(new Error("not wanted"));
    await expect(withdrawn).rejects.toThrow(/not wanted/);
    await Promise.all([sender!.send(ones(device, 100), 1), receiver!.recv(tensor, 0)]);
    device.destroy();
  });

  it("ends the group where the device is lost", async () => {
    const devices = await Promise.all([defaultDevice(), defaultDevice()]);
    const [sender, receiver] = await join(devices);
    const received = receiver!.recv(ones(devices[1]!, 100), 0);
    devices[0]!.destroy();
    await expect(sender!.send(ones(devices[0]!, 100), 1)).rejects.toThrow(DeviceLostError);
    await expect(received).rejects.toThrow(DeviceLostError);
    devices[1]!.destroy();
  });
});

describe("a custom operation that does not compile", () => {
  it("rejects with the compiler's words on every rank that has a GPU, and the group goes on", async () => {
    const { ReduceOp } = await import("../../src/reduce-op.ts");
    const device = await defaultDevice();
    const joined = await join([device, device]);
    const op = ReduceOp.custom({ name: "bad", wgsl: "a +* b", js: (a: number) => a, identity: 0, commutative: true });
    const results = await Promise.allSettled(joined.map((group) => group.allReduce(ones(device, 10), { op })));
    for (const result of results) expect(result.status).toBe("rejected");
    const texts = results.map((result) => String((result as PromiseRejectedResult).reason));
    expect(texts.some((text) => /custom op bad on f32 does not compile/.test(text))).toBe(true);
    const good = joined.map(() => ones(device, 100));
    await Promise.all(joined.map((group, rank) => group.allReduce(good[rank]!)));
    await Promise.all(joined.map((group) => group.destroy()));
    device.destroy();
  });
});

describe("two groups on one device", () => {
  it("work at once, and the end of one is not felt by the other", async () => {
    const device = await defaultDevice();
    const uncaptured: string[] = [];
    const handler = (event: GPUUncapturedErrorEvent) => uncaptured.push(event.error.message);
    device.onuncapturederror = handler;
    const [one, two] = [await join([device, device]), await join([device, device])];
    const tensors = [...one, ...two].map(() => ones(device, 50_000));
    await Promise.all([...one, ...two].map((group, i) => group.allReduce(tensors[i]!)));
    for (const tensor of tensors) expect(await firstOf(device, tensor)).toBe(2);
    await Promise.all(one.map((group) => group.destroy()));
    await Promise.all(two.map((group, i) => group.allReduce(tensors[i + 2]!)));
    expect(await firstOf(device, tensors[3]!)).toBe(4);
    // The user's handler is the user's still, and hears of the user's mistakes only.
    expect(device.onuncapturederror).toBe(handler);
    expect(uncaptured).toEqual([]);
    device.createBuffer({ size: 16, usage: 0xffff });
    await device.queue.onSubmittedWorkDone();
    expect(uncaptured).toHaveLength(1);
    await Promise.all(two.map((group) => group.destroy()));
    device.destroy();
  });
});

describe("groups that come and go", () => {
  it("leave no buffer after 200 rounds on one device, and the process ends", { timeout: 60_000 }, async () => {
    const found = await runNode(path("programs/gpu-groups.ts"), gpuEnvironment());
    expect(found).toEqual({ rounds: 200, sums: [2], left: 0 });
  });
});

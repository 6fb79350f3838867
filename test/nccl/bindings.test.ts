import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as nccl from "../../native-nccl/index.js";
import { build } from "../../native-nccl/scripts/build.js";

const TIMEOUT_MS = 120_000;

beforeAll(() => {
  const { addon, cuda, nccl: library } = build({ standIn: true });
  Object.assign(process.env, { WEBCCL_NCCL_ADDON: addon, WEBCCL_LIBCUDA: cuda, WEBCCL_LIBNCCL: library });
}, TIMEOUT_MS);

afterAll(() => {
  for (const name of ["WEBCCL_NCCL_ADDON", "WEBCCL_LIBCUDA", "WEBCCL_LIBNCCL"]) delete process.env[name];
});

/** A tensor on each device, filled with `value` of its device. */
async function onEach(devices: number, count: number, value: (device: number) => number) {
  return Promise.all(
    Array.from({ length: devices }, async (_, device) => {
      const cuda = new nccl.DeviceBuffer(4 * count, { device });
      await cuda.copyFrom(new Float32Array(count).fill(value(device)));
      return { cuda, dtype: "f32" as const };
    }),
  );
}

async function contents(tensor: { cuda: nccl.DeviceBuffer }): Promise<Float32Array> {
  const host = new Float32Array(tensor.cuda.byteLength / 4);
  await tensor.cuda.copyTo(host);
  return host;
}

describe("the libraries", () => {
  it("tell their version, devices and words", async () => {
    expect(nccl.version()).toBe(22_707);
    expect(nccl.versionTuple()).toEqual([2, 27, 7]);
    expect(nccl.versionSuffix()).toBe("");
    expect(nccl.libraryPath()).toMatch(/stand-in/);
    expect(nccl.errorString(4)).toBe("invalid argument");
    expect(await nccl.deviceCount()).toBe(8);
    const [first] = await nccl.devices();
    expect(first).toMatchObject({ name: "webccl stand-in 0", computeCapability: "9.0", pciBusId: "0000:00:00.0" });
    expect(await nccl.getUniqueId()).toHaveLength(nccl.UNIQUE_ID_BYTES);
  });
});

describe("DeviceBuffer", () => {
  it("carries bytes there and back, whole and in part", async () => {
    const buffer = new nccl.DeviceBuffer(9_000_001);
    const bytes = Uint8Array.from({ length: 9_000_001 }, (_, i) => i * 7);
    await buffer.copyFrom(bytes);
    await buffer.copyFrom(Uint8Array.of(1, 2, 3), 8_999_990);
    bytes.set([1, 2, 3], 8_999_990);
    const back = new Uint8Array(9_000_001);
    await buffer.copyTo(back);
    expect(Buffer.compare(back, bytes)).toBe(0);
    const part = new Uint16Array(2);
    await buffer.copyTo(part, 100);
    expect(new Uint8Array(part.buffer)).toEqual(bytes.slice(100, 104));
    expect(buffer.pointer).toBeGreaterThan(0n);
    buffer.dispose();
    expect(buffer.disposed).toBe(true);
    await expect(buffer.copyTo(part)).rejects.toThrow("the DeviceBuffer was disposed");
  });

  it("refuses what is outside of it, and what is no length", async () => {
    const buffer = new nccl.DeviceBuffer(16);
    await expect(buffer.copyFrom(new Uint8Array(17))).rejects.toThrow(RangeError);
    await expect(buffer.copyTo(new Uint8Array(4), 13)).rejects.toThrow("bytes 13 to 17 of a DeviceBuffer of 16");
    expect(() => new nccl.DeviceBuffer(-1)).toThrow(RangeError);
    expect(() => new nccl.DeviceBuffer(16, { device: 99 })).toThrow("there is no CUDA device 99");
    expect(() => new nccl.DeviceBuffer(2 ** 40)).toThrow(/allocating 1099511627776 bytes.*out of memory/);
  });

  it("is freed with its object", async () => {
    // What earlier tests gave back is freed on another thread.
    await expect.poll(() => nccl.alive().deviceBytes).toBeLessThan(1000);
    const lose = () => void new nccl.DeviceBuffer(1_000_000);
    for (let i = 0; i < 10; i++) lose();
    expect(nccl.alive().deviceBytes).toBeGreaterThanOrEqual(1_000_000);
    const { setFlagsFromString } = await import("node:v8");
    setFlagsFromString("--expose-gc");
    const collect = (await import("node:vm")).runInNewContext("gc") as () => void;
    await expect
      .poll(
        () => {
          collect();
          return nccl.alive().deviceBytes;
        },
        { timeout: 10_000 },
      )
      .toBeLessThan(1000);
  });
});

describe("calls over lists", () => {
  it("do what their names say, one tensor per device", async () => {
    const tensors = await onEach(3, 6, (device) => device + 1);
    await nccl.allReduce(tensors);
    expect(await contents(tensors[2]!)).toEqual(new Float32Array(6).fill(6));
    await nccl.allReduce(tensors, { op: { factor: 0.5 } });
    expect(await contents(tensors[0]!)).toEqual(new Float32Array(6).fill(9));
    const others = await onEach(3, 6, (device) => device + 1);
    await nccl.reduce(others, { root: 1, output: others[1]!, op: "max" });
    expect(await Promise.all(others.map(async (tensor) => (await contents(tensor))[0]))).toEqual([1, 3, 3]);
    await nccl.broadcast(others, { root: 1, streams: [0, 1, 2].map((device) => new nccl.Stream({ device })) });
    expect((await contents(others[0]!))[5]).toBe(3);
    const small = await onEach(3, 2, (device) => device * 10);
    await nccl.allGather(small, tensors);
    expect(await contents(tensors[1]!)).toEqual(Float32Array.of(0, 0, 10, 10, 20, 20));
    await nccl.reduceScatter(tensors, small);
    expect(await contents(small[2]!)).toEqual(Float32Array.of(60, 60));
  });

  it("reduce to root's device alone, into its input or into another tensor there", async () => {
    for (const root of [0, 1, 2]) {
      for (const kind of ["left out", "null", "another"] as const) {
        const inputs = await onEach(3, 6, (device) => device + 1);
        const [another] = await Promise.all([onEach(3, 6, () => -1)]);
        const output = kind === "another" ? another[root]! : kind === "null" ? null : undefined;
        await nccl.reduce(inputs, { root, ...(output === undefined ? {} : { output }) });
        const results = await Promise.all(inputs.map(async (tensor) => (await contents(tensor))[0]));
        const untouched = [1, 2, 3];
        expect(results).toEqual(output ? untouched : untouched.map((value, device) => (device === root ? 6 : value)));
        if (output) expect(await contents(output)).toEqual(new Float32Array(6).fill(6));
      }
    }
  });

  it("take one communicator without a list, and streams of which some are null", async () => {
    const [alone] = await nccl.initAll([2]);
    const cuda = new nccl.DeviceBuffer(16, { device: 2 });
    await cuda.copyFrom(Float32Array.of(1, 2, 3, 4));
    await nccl.allReduce([{ cuda, dtype: "f32" }], { communicators: alone!, streams: [null], op: { factor: 2 } });
    expect(await contents({ cuda })).toEqual(Float32Array.of(2, 4, 6, 8));
    await alone!.dispose();
    const tensors = await onEach(2, 4, () => 1);
    await nccl.allReduce(tensors, { streams: [new nccl.Stream({ device: 0 }), null] });
    expect(await contents(tensors[1]!)).toEqual(new Float32Array(4).fill(2));
  });

  it("refuse lists that do not fit", async () => {
    const tensors = await onEach(2, 4, () => 0);
    const communicators = await nccl.initAll([0]);
    await expect(nccl.allReduce(tensors, { streams: [] })).rejects.toThrow(
      "number of streams is not equal to number of inputs",
    );
    await expect(nccl.allReduce(tensors, { communicators })).rejects.toThrow(
      "number of communicators is not equal to number of inputs",
    );
    await expect(nccl.broadcast(tensors, { root: 2 })).rejects.toThrow("invalid root");
    // @ts-expect-error: 7 is no tensor
    await expect(nccl.allReduce([tensors[0], 7])).rejects.toThrow("expected Tensor at 1 (got number)");
    await communicators[0]!.dispose();
  });
});

describe("Communicator", () => {
  it("refuses an id of another length, and ranks that are none", async () => {
    await expect(nccl.initRank(1, new Uint8Array(127), 0)).rejects.toThrow(
      "invalid unique_id (expected 128 bytes, got 127 bytes)",
    );
    await expect(nccl.initRank(2, new Uint8Array(128), 2)).rejects.toThrow("invalid rank");
  });

  it("splits, groups, multiplies by a factor and uses a stream of the caller's", async () => {
    const id = await nccl.getUniqueId();
    const ranks = [0, 1, 2];
    const all = await Promise.all(
      ranks.map((rank) => nccl.initRank(3, id, rank, { device: rank, minCtas: 1, maxCtas: 4, netName: "Socket" })),
    );
    const tensors = await onEach(3, 4, (device) => device + 1);
    const streams = ranks.map((device) => new nccl.Stream({ device, highPriority: true }));
    const events = streams.map((stream) => stream.record());
    await Promise.all(
      all.map(async (communicator, rank) => {
        const tensor = tensors[rank]!;
        const op = await communicator.createPreMulSum(rank, "f32");
        communicator.allReduce(tensor, tensor, op, streams[rank]);
        await communicator.flush();
        communicator.destroyRedOp(op);
        await streams[rank]!.synchronize();
        expect(await contents(tensor)).toEqual(new Float32Array(4).fill(8));
        communicator.group(() => {
          communicator.send({ ...tensor, count: 1 }, (rank + 1) % 3);
          communicator.recv({ ...tensor, byteOffset: 4, count: 1 }, (rank + 2) % 3);
        });
        await communicator.flush();
        expect(await communicator.getAsyncError()).toBe(null);
        const child = await communicator.split(rank === 1 ? null : 0, -rank);
        expect(child === null).toBe(rank === 1);
        if (child) {
          child.allReduce(tensor, tensor);
          await child.flush();
          expect((await contents(tensor))[0]).toBe(16);
          // Ranks in the order of the keys.
          expect(child).toMatchObject({ rank: rank === 2 ? 0 : 1, size: 2 });
          const output = (await onEach(3, 4, () => -1))[rank]!;
          child.reduce(output, tensor, 1);
          await child.flush();
          expect((await contents(output))[0]).toBe(child.rank === 1 ? 32 : -1);
          expect(() => child.allGather(output, tensor)).toThrow("the output has 4 elements, and 8 are needed");
          await child.dispose();
        }
        await communicator.dispose();
      }),
    );
    expect(events.every((event) => event.query())).toBe(true);
    expect(events[0]!.elapsedMs(events[0]!)).toBe(0);
  });

  it("gives an attempt up by its signal, and ends by an abort", async () => {
    const id = await nccl.getUniqueId();
    const lonely = nccl.initRank(2, id, 0, { signal: AbortSignal.timeout(100) });
    await expect(lonely).rejects.toThrow(/timeout/);
    const [alone, other] = await nccl.initAll([0, 1]);
    const [tensor] = await onEach(1, 4, () => 1);
    alone!.allReduce(tensor!, tensor!);
    const flushed = alone!.flush();
    alone!.abort("enough");
    await expect(flushed).rejects.toThrow("enough");
    await expect(alone!.flush()).rejects.toThrow("enough");
    expect(await alone!.getAsyncError()).toBe("enough");
    await alone!.dispose();
    await other!.dispose();
  });

  it("refuses tensors that are too short for what NCCL would touch", async () => {
    const [communicator] = await nccl.initAll([0]);
    const [tensor] = await onEach(1, 4, () => 1);
    const short = { ...tensor!, count: 3 };
    expect(() => communicator!.allReduce(short, tensor!)).toThrow(
      "allReduce: the output has 3 elements, and 4 are needed",
    );
    expect(() => communicator!.broadcast({ ...tensor!, count: 5 }, null, 0)).toThrow(
      "bytes 0 to 20 of a DeviceBuffer of 16",
    );
    // In bytes the output would be too short.
    expect(() => communicator!.allReduce({ ...tensor!, dtype: "u8", count: 4 }, tensor!)).toThrow(
      "the input is f32, and the output u8",
    );
    // @ts-expect-error: no operation of NCCL
    expect(() => communicator!.allReduce(tensor!, tensor!, "band")).toThrow("NCCL has no operation band");
    await communicator!.dispose();
  });
});

import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { GpuExecutor } from "../../src/executor/webgpu/create-executor.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { describe as viewOf } from "../../src/tensor/describe.ts";
import type { GpuTensor } from "../../src/types.ts";
import { testExecutor } from "../helpers/gpu.ts";

const SIZE = 3;
const COUNT = 100_003;
let jobs = 0;
let owner: GpuExecutor;
let groups: ProcessGroup[] = [];

beforeAll(async () => {
  owner = await testExecutor();
  return () => owner.dispose();
});

afterEach(() => Promise.all(groups.map((group) => group.destroy())));

/** Ranks of this thread that share one device. */
async function ranksOnOneDevice(): Promise<ProcessGroup[]> {
  const initMethod = `memory://same-device-${jobs++}`;
  const { device } = owner;
  groups = await Promise.all(
    Array.from({ length: SIZE }, (_, rank) => initProcessGroup({ initMethod, rank, worldSize: SIZE, device })),
  );
  return groups;
}

function upload(values: Float32Array<ArrayBuffer>): GpuTensor {
  const tensor = owner.alloc("f32", values.length);
  owner.device.queue.writeBuffer(tensor.buffer, 0, values);
  return tensor;
}

async function download(tensor: GpuTensor): Promise<Float32Array> {
  const lease = await owner.read(owner.span(viewOf(tensor)));
  const copy = lease.bytes.slice();
  lease.release();
  return new Float32Array(copy.buffer);
}

describe("ranks of one thread on one GPUDevice", () => {
  it.each([undefined, "ring", "owner-direct", "halving"])(
    "allReduce (algorithm %s) without any readback",
    async (algorithm) => {
      const members = await ranksOnOneDevice();
      const tensors = members.map(({ rank }) => upload(new Float32Array(COUNT).map((_, i) => (i % 97) * (rank + 1))));
      const before = owner.stats.mapAsyncCalls;
      await Promise.all(members.map((group, i) => group.allReduce(tensors[i]!, algorithm ? { algorithm } : {})));
      expect(owner.stats.mapAsyncCalls).toBe(before);
      const expected = new Float32Array(COUNT).map((_, i) => (i % 97) * 6);
      for (const tensor of tensors) expect(await download(tensor)).toEqual(expected);
    },
  );

  it("take lists of several tensors on the device as one call, and none that lie in two memories", async () => {
    const members = await ranksOnOneDevice();
    const lists = members.map(({ rank }) => [
      upload(Float32Array.of(1, 2, 3 + rank)),
      upload(Float32Array.of(rank)),
      upload(new Float32Array(COUNT).fill(rank)),
    ]);
    const held = () =>
      Promise.all(
        lists.map(async (list) => (await Promise.all(list.map(download))).map((all) => [...all.slice(0, 3)])),
      );
    await Promise.all(members.map((group, i) => group.allReduceAll(lists[i]!)));
    expect(await held()).toEqual(lists.map(() => [[3, 6, 12], [3], [3, 3, 3]]));
    lists[1]![1] = upload(Float32Array.of(7));
    await Promise.all(members.map((group, i) => group.broadcastAll(lists[i]!, { root: 1 })));
    expect(await held()).toEqual(lists.map(() => [[3, 6, 12], [7], [3, 3, 3]]));
    expect(members.map(({ sequence }) => sequence)).toEqual([2, 2, 2]);
    const refused = members.map((group, i) => group.broadcastAll([lists[i]![0]!, new Float32Array(1)]));
    for (const outcome of await Promise.allSettled(refused)) {
      expect(String((outcome as PromiseRejectedResult).reason)).toMatch(/^TypeError: .*must be in one memory/);
    }
    await Promise.all(members.map((group) => group.barrier()));
  });

  it("send and recv without any readback, also when the message waits", async () => {
    const members = await ranksOnOneDevice();
    const values = new Float32Array(COUNT).map((_, i) => i);
    const [source, target] = [upload(values), upload(new Float32Array(COUNT))];
    const before = owner.stats.mapAsyncCalls;
    const sent = members[0]!.send(source, 2);
    await members[1]!.waitForPendingWorks();
    await Promise.all([sent, members[2]!.recv(target, 0)]);
    expect(owner.stats.mapAsyncCalls).toBe(before);
    expect(await download(target)).toEqual(values);
  });

  it("a GPU tensor on one rank and a host array on another", async () => {
    const members = await ranksOnOneDevice();
    const host = new Float32Array(COUNT).fill(1);
    const tensors = [upload(new Float32Array(COUNT).fill(2)), host, upload(new Float32Array(COUNT).fill(4))];
    await Promise.all(members.map((group, i) => group.allReduce(tensors[i]!)));
    expect(host.every((value) => value === 7)).toBe(true);
    expect((await download(tensors[0] as GpuTensor)).every((value) => value === 7)).toBe(true);
  });
});

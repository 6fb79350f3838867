import { afterEach, describe, expect, it } from "vitest";
import type { Backend, BackendContext } from "../../src/backend/backend.ts";
import type { InitOptions } from "../../src/bring-up/init-options.ts";
import { MismatchError, TimeoutError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { FakeBackend, RoundRobinBackend } from "../../src/testing/index.ts";

let jobs = 0;
let groups: ProcessGroup[] = [];

async function open(size: number, options: InitOptions = {}): Promise<ProcessGroup[]> {
  const initMethod = `memory://backends-${jobs++}`;
  groups = await Promise.all(
    Array.from({ length: size }, (_, rank) => initProcessGroup({ initMethod, rank, worldSize: size, ...options })),
  );
  return groups;
}

afterEach(() => Promise.all(groups.map((group) => group.destroy())));

const roundRobin = (context: BackendContext) =>
  new RoundRobinBackend([context.builtIn(), context.builtIn(), context.builtIn()]);

describe("backends of several", () => {
  it("round-robin: a mismatch leaves the group whole, a missing rank is named, no backend is refused", async () => {
    const [a, b] = (await open(2, { backend: roundRobin })) as [ProcessGroup, ProcessGroup];
    const outcomes = await Promise.allSettled([a.barrier(), b.allReduce(new Int32Array(2))]);
    for (const outcome of outcomes) expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(MismatchError);
    for (let i = 0; i < 4; i++) await Promise.all([a.barrier(), b.barrier()]);
    const error = await a.barrier({ timeoutMs: 100 }).catch((reason) => reason);
    expect(error).toBeInstanceOf(TimeoutError);
    expect((error as TimeoutError).missingRanks).toEqual([1]);
    expect(() => new RoundRobinBackend([])).toThrow("Specify at least 1 backend");
    expect(() => new RoundRobinBackend([{ name: "half" } as Backend])).toThrow(/backend "half" lacks run, sitOut/);
  });

  it("fake: every call succeeds and moves nothing", async () => {
    const [group] = (await open(1, { backend: () => new FakeBackend() })) as [ProcessGroup];
    const tensor = Float32Array.of(3);
    await Promise.all([
      group.allReduce(tensor, { op: "avg" }),
      group.barrier(),
      group.allReduceCoalesced([Int8Array.of(1)]),
    ]);
    expect([tensor[0], group.backendName]).toEqual([3, "fake"]);
    expect(await group.recvAnySource(tensor)).toBe(0);
    for (const call of [() => group.allGatherObject(1), () => group.broadcastObject(1), () => group.split(0)]) {
      await expect(call()).rejects.toThrow(/^Backend fake does not support/);
    }
    await group.barrier();
  });

  it("registerBackend() serves its memory, setDefaultBackend() the rest", async () => {
    const [group] = (await open(1)) as [ProcessGroup];
    await group.registerBackend("webgpu", () => new FakeBackend());
    expect([group.getBackend("webgpu").name, group.getBackend("cpu").name]).toEqual(["fake", "direct"]);
    await group.barrier();
    await group.setDefaultBackend("webgpu");
    expect([group.backendName, group.getBackend("cpu").name]).toEqual(["fake", "fake"]);
    await expect(group.registerBackend("webgpu", () => new FakeBackend())).rejects.toThrow(
      /registered for webgpu already/,
    );
    await expect(group.registerBackend("tpu" as "cpu", () => new FakeBackend())).rejects.toThrow(
      /use cpu, webgpu, cuda/,
    );
    await expect(group.setDefaultBackend("cuda")).rejects.toThrow(/call registerBackend first/);
  });

  it.each([
    ["registerBackend", (group: ProcessGroup) => group.registerBackend("cpu", (context) => context.builtIn())],
    ["setDefaultBackend", (group: ProcessGroup) => group.setDefaultBackend("webgpu")],
  ])(
    "%s() on one rank only is a MismatchError on all at the next call, and the group stays whole",
    async (name, call) => {
      const members = (await open(3)) as [ProcessGroup, ProcessGroup, ProcessGroup];
      await Promise.all(members.map((group) => group.registerBackend("webgpu", (context) => context.builtIn())));
      const tensors = members.map(() => Int32Array.of(1));
      const calls = members.map((group, rank) => (rank === 1 ? call(group) : group.allReduce(tensors[rank]!)));
      for (const outcome of await Promise.allSettled(calls)) {
        expect(outcome).toMatchObject({
          reason: { code: "MISMATCH", message: expect.stringContaining(`called ${name}(`) },
        });
      }
      await Promise.all(members.map(call));
      await Promise.all(members.map((group, rank) => group.allReduce(tensors[rank]!)));
      expect(tensors.map(([sum]) => sum)).toEqual([3, 3, 3]);
    },
  );

  it("registerBackend() for different devices is a MismatchError that says so", async () => {
    const members = await open(2);
    const calls = members.map((group, rank) =>
      group.registerBackend(rank ? "webgpu" : "cuda", () => new FakeBackend()),
    );
    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toMatchObject({
        reason: { code: "MISMATCH", message: expect.stringContaining("device differs") },
      });
    }
  });
});

describe("newGroup() and split()", () => {
  it("give a group a backend of its own, of one kind on all ranks", async () => {
    const members = await open(2);
    const children = await Promise.all(
      members.map((group) => group.newGroup([0, 1], { backend: () => new FakeBackend() })),
    );
    expect(children.map((child) => child?.backendName)).toEqual(["fake", "fake"]);
    const halves = await Promise.all(members.map((group) => group.split(0, 0, { backend: "cpu" })));
    expect(halves.map((half) => half?.backendName)).toEqual(["direct", "direct"]);
    const own = { backend: () => new FakeBackend() };
    for (const make of [
      (group: ProcessGroup) => group.newGroup([0, 1], group.rank === 0 ? own : {}),
      (group: ProcessGroup) => group.split(0, 0, group.rank === 0 ? own : {}),
    ]) {
      const outcomes = await Promise.allSettled(members.map(make));
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({ reason: { code: "MISMATCH", details: { field: "backend" } } });
      }
    }
    await expect(members[0]!.newGroup([0], { backend: "gloo" as "cpu" })).rejects.toThrow(RangeError);
  });
});

describe("a group's own", () => {
  it("store, hooks, device, future() and sourceRank()", async () => {
    const [a, b] = (await open(2)) as [ProcessGroup, ProcessGroup];
    const child = await Promise.all([a, b].map((group) => group.newGroup([0, 1])));
    await a.store.set("1/key", "parent");
    await child[0]!.store.set("key", "child");
    expect(new TextDecoder().decode(await b.store.get("1/key"))).toBe("parent");
    expect(new TextDecoder().decode(await child[1]!.store.get("key"))).toBe("child");
    expect(await a.store.check(["key"])).toBe(false);
    expect([a.hasHooks(), a.boundDevice]).toEqual([false, null]);
    expect(() => {
      a.boundDevice = {} as GPUDevice;
    }).toThrow(TypeError);
    const tensor = Float32Array.of(1);
    const works = [a.send(tensor, 1), b.recv(tensor.slice(), 0)] as const;
    expect((await works[0].future())[0]).toBe(tensor);
    await works[1];
    expect(works[1].sourceRank()).toBe(0);
  });
});

/** shrink, admit and join between ranks of this thread. */
import { describe, expect, it } from "vitest";
import {
  AdmissionError,
  type BackendContext,
  initProcessGroup,
  type ProcessGroup,
  UnsupportedError,
} from "../../src/node/index.ts";
import { memoryJob, sums } from "./memory-job.ts";

const shrinkAll = (groups: readonly ProcessGroup[]) => Promise.all(groups.map((group) => group.shrink()));

describe("shrink()", () => {
  it("makes a group of the ranks that live, in their order, which reduces", async () => {
    const { groups, lose } = await memoryJob(4);
    expect(await sums(groups)).toEqual([10, 10, 10, 10]);
    lose(1);
    const survivors = groups.filter(({ rank }) => rank !== 1);
    const calls = survivors.map((group) => group.allReduce(new Float32Array(4)));
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: "PEER_LOST", rank: 1 });
    const shrunk = await shrinkAll(survivors);
    expect(shrunk.map(({ rank, size, epoch, globalRanks }) => ({ rank, size, epoch, globalRanks }))).toEqual(
      [0, 1, 2].map((rank) => ({ rank, size: 3, epoch: 1, globalRanks: [0, 2, 3] })),
    );
    expect(await sums(shrunk)).toEqual([8, 8, 8]);
    await Promise.all(shrunk.map((group) => group.destroy()));
  });

  it("ends the job of a rank whose group cannot be made, and the others hear that it has left", async () => {
    let made = 0;
    const ownBackend = (context: BackendContext) => {
      if (made++ > 0) throw new Error("no second one");
      return context.builtIn();
    };
    const { groups } = await memoryJob(2, 5_000, (rank) => (rank === 1 ? ownBackend : "cpu"));
    const [zero, one] = await Promise.allSettled(groups.map((group) => group.shrink()));
    expect(one).toMatchObject({ status: "rejected", reason: { message: "no second one" } });
    const { value: alone } = zero as PromiseFulfilledResult<ProcessGroup>;
    await expect(alone.barrier()).rejects.toMatchObject({ code: "PEER_LOST", rank: 1 });
    await Promise.all([alone, groups[1]!].map((group) => group.destroy()));
  });

  it("agrees when two ranks die at once, the leader among them", async () => {
    const { groups, lose } = await memoryJob(5);
    lose(0);
    lose(3);
    const shrunk = await shrinkAll(groups.filter(({ rank }) => rank !== 0 && rank !== 3));
    expect(shrunk.map(({ globalRanks }) => globalRanks)).toEqual(Array(3).fill([1, 2, 4]));
    expect(await sums(shrunk)).toEqual([10, 10, 10]);
    await Promise.all(shrunk.map((group) => group.destroy()));
  });
});

describe("what belonged to the old group", () => {
  it("ends with it: subgroups, persistent calls and hooks; and is made anew under the same name", async () => {
    const { groups, lose } = await memoryJob(3);
    const [zero, one, two] = groups as [ProcessGroup, ProcessGroup, ProcessGroup];
    const pairs = await Promise.all(groups.map((group) => group.newGroup([0, 1], { name: "pair" })));
    await expect(pairs[1]!.shrink()).rejects.toThrow(UnsupportedError);
    const calls = groups.map((group) => group.persistent.allReduce(new Float32Array(8)));
    await Promise.all(calls.map(({ ready }) => ready));
    const told: string[] = [];
    zero.onMembership((event) => told.push(event.type === "waiting" ? event.type : `${event.type} ${event.rank}`));
    await zero.store.set("key", "old");
    lose(2);
    await expect(zero.barrier()).rejects.toMatchObject({ code: "PEER_LOST" });
    const shrunk = await shrinkAll([zero, one]);
    expect(told).toEqual(["lost 2"]);
    const old = [() => pairs[0]!.barrier(), () => calls[0]!.start(), () => zero.barrier()];
    for (const call of old) await expect(call()).rejects.toThrow();
    // A destroyed old group takes nothing from the new one.
    await Promise.all([zero.destroy(), two.destroy()]);
    const anew = await Promise.all(shrunk.map((group) => group.newGroup([1, 0], { name: "pair" })));
    expect(await sums(anew as ProcessGroup[])).toEqual([3, 3]);
    expect(anew[0]!.epoch).toBe(1);
    expect(await shrunk[0]!.store.check(["key"])).toBe(false);
    await Promise.all(shrunk.map((group) => group.destroy()));
  });

  it("is told of ranks that leave", async () => {
    const { groups } = await memoryJob(3);
    const told: unknown[] = [];
    groups[0]!.onMembership((event) => told.push(event));
    await sums(groups);
    await groups[1]!.destroy();
    const shrunk = await shrinkAll([groups[0]!, groups[2]!]);
    expect(told).toEqual([{ type: "left", rank: 1, reason: "it said goodbye" }]);
    expect(await sums(shrunk)).toEqual([4, 4]);
    await Promise.all(shrunk.map((group) => group.destroy()));
  });
});

describe("a group that is whole", () => {
  it("is shrunk to all its ranks, and what is pending ends", async () => {
    const { groups } = await memoryJob(3);
    const pending = groups[0]!.allReduce(new Float32Array(4));
    const shrunk = await shrinkAll(groups);
    await expect(pending).rejects.toThrow(/called shrink/);
    expect(shrunk.map(({ size, epoch }) => [size, epoch])).toEqual(Array(3).fill([3, 1]));
    expect(await sums(shrunk)).toEqual([6, 6, 6]);
    await Promise.all(shrunk.map((group) => group.destroy()));
  });

  it("treats a rank as lost that does not call shrink in time, and refuses it", async () => {
    const { groups } = await memoryJob(3);
    const shrunk = await Promise.all(groups.slice(0, 2).map((group) => group.shrink({ timeoutMs: 100 })));
    expect(shrunk.map(({ globalRanks }) => globalRanks)).toEqual([
      [0, 1],
      [0, 1],
    ]);
    await expect(groups[2]!.shrink()).rejects.toThrow(AdmissionError);
    expect(await sums(shrunk)).toEqual([3, 3]);
    await Promise.all([...shrunk, groups[2]!].map((group) => group.destroy()));
  });

  it.each([[[2]], [[0]], [[1]], [[0, 1]], [[0, 2]]])(
    "dies of a TimeoutError that names who does not call admit, ranks %j of 4; all may shrink",
    async (missing) => {
      const { groups } = await memoryJob(4);
      const here = groups.filter(({ rank }) => !missing.includes(rank));
      const admitted = here.map((group) => group.admit({ timeoutMs: 100 }));
      for (const call of admitted) await expect(call).rejects.toMatchObject({ code: "TIMEOUT", missingRanks: missing });
      // Those that were missed hear the same cause.
      for (const group of groups) {
        await expect(group.barrier()).rejects.toMatchObject({ code: "TIMEOUT", missingRanks: missing });
      }
      const shrunk = await shrinkAll(groups);
      expect(await sums(shrunk)).toEqual([10, 10, 10, 10]);
      await Promise.all(shrunk.map((group) => group.destroy()));
    },
  );
});

describe("admit()", () => {
  it("resolves to the same group if nobody waits", async () => {
    const { groups } = await memoryJob(3);
    expect(await Promise.all(groups.map((group) => group.admit()))).toEqual(groups);
    expect(await sums(groups)).toEqual([6, 6, 6]);
    await Promise.all(groups.map((group) => group.destroy()));
  });

  it("lets in who waits, behind the others", async () => {
    const { groups, join } = await memoryJob(2);
    const waiting = Promise.all([join(), join()]);
    await new Promise<void>((resolve) => {
      let seen = 0;
      groups[0]!.onMembership(({ type }) => {
        if (type === "waiting" && ++seen === 2) resolve();
      });
    });
    const grown = await Promise.all(groups.map((group) => group.admit()));
    const all = [...grown, ...(await waiting)];
    const seen = all.map(({ rank, size, epoch }) => [rank, size, epoch]).sort();
    expect(seen).toEqual([0, 1, 2, 3].map((rank) => [rank, 4, 1]));
    expect(await sums(all)).toEqual([10, 10, 10, 10]);
    await Promise.all(all.map((group) => group.destroy()));
  });
});

describe("join: true", () => {
  it.each([
    [{ join: true, rank: 1 }, RangeError],
    [{ join: true, worldSize: 2 }, RangeError],
    [{ join: 1 }, TypeError],
    [{ join: true, transport: "shared-file" }, UnsupportedError],
    [{ join: true, backend: "nccl" }, UnsupportedError],
  ])("refuses %j", async (options, kind) => {
    await expect(initProcessGroup(options as object)).rejects.toThrow(kind as never);
  });

  it("is refused where no group runs", async () => {
    await expect(initProcessGroup({ initMethod: "memory://nobody", join: true })).rejects.toThrow(AdmissionError);
  });
});

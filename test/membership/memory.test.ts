/** shrink, admit and join between ranks of this thread. */
import { describe, expect, it } from "vitest";
import { AdmissionError, initProcessGroup, type ProcessGroup } from "../../src/node/index.ts";
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
    expect(all.map(({ rank, size, epoch }) => [rank, size, epoch])).toEqual([0, 1, 2, 3].map((rank) => [rank, 4, 1]));
    expect(await sums(all)).toEqual([10, 10, 10, 10]);
    await Promise.all(all.map((group) => group.destroy()));
  });
});

describe("join: true", () => {
  it("is refused where no group runs", async () => {
    await expect(initProcessGroup({ initMethod: "memory://nobody", join: true })).rejects.toThrow(AdmissionError);
  });
});

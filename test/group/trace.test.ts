import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { AbortedError, type ProcessGroup, setDebugLevel, TimeoutError, Work } from "../../src/node/index.ts";
import { ranksOf, settle } from "../trace/ranks.ts";

const f32 = (count = 4) => new Float32Array(count);
const ignore = () => undefined;
const all = <T>(groups: readonly ProcessGroup[], call: (group: ProcessGroup) => PromiseLike<T>) =>
  Promise.all(groups.map((group) => call(group)));

describe("dumpTrace()", () => {
  it("has each call: its kind, sizes, op, ends and times", async () => {
    const groups = await ranksOf(2);
    await all(groups, (group) => group.allReduce(new Int32Array(3), { op: "max", timeoutMs: 5_000 }));
    await all(groups, (group) => group.broadcast(f32(5), { root: 1 }));
    await all(groups, (group) =>
      group.rank === 0 ? group.send(f32(7), 1, { tag: 9 }) : group.recv(f32(7), 0, { tag: 9 }).then(ignore),
    );
    await all(groups, (group) => group.allGather([f32(1), f32(2)], f32(group.rank + 1)));
    const dump = await groups[1]!.dumpTrace();
    expect(dump).toMatchObject({ format: "webccl-trace", version: 1, rank: 1, size: 2, recorded: 4 });
    expect(dump.groups).toMatchObject([{ name: "default", rank: 1, globalRanks: [0, 1], dead: null, left: false }]);
    const none = { tensors: 0, count: 0, bytes: 0 };
    expect(dump.entries).toMatchObject([
      {
        ...{ collective: "allReduce", sequence: 1, isPointToPoint: false, dtypes: ["i32"], op: "max", root: null },
        ...{ timeoutMs: 5_000, read: none, written: { tensors: 1, count: 3, bytes: 12 } },
      },
      { collective: "broadcast", sequence: 2, root: 1, op: null, timeoutMs: 60_000, read: { count: 5 }, written: none },
      { collective: "recv", sequence: 1, isPointToPoint: true, peer: 0, tag: 9, root: null, written: { count: 7 } },
      { collective: "allGather", sequence: 3, read: { count: 2 }, written: { tensors: 2, count: 3, bytes: 12 } },
    ]);
    for (const entry of dump.entries) {
      expect(entry).toMatchObject({ state: "completed", retired: true, error: null, persistent: null, waitingFor: [] });
      expect(entry.startedMs).toBeGreaterThanOrEqual(entry.scheduledMs);
      expect(entry.completedMs).toBeGreaterThanOrEqual(entry.startedMs!);
      expect(dump.takenMs).toBeGreaterThanOrEqual(entry.completedMs!);
    }
    expect(Math.abs(dump.clockZero + dump.takenMs - Date.now())).toBeLessThan(5_000);
    expect(JSON.parse(JSON.stringify(dump))).toEqual(dump);
  });

  it("answers while a call hangs, and says for whom it waits", async () => {
    const groups = await ranksOf(3);
    for (const group of groups.slice(0, 2)) group.allReduce(f32()).catch(ignore);
    await settle();
    const waited = new Set<number>();
    for (const group of groups.slice(0, 2)) {
      const { entries } = await group.dumpTrace({ onlyActive: true });
      expect(entries).toMatchObject([{ collective: "allReduce", state: "started", retired: false, completedMs: null }]);
      for (const rank of entries[0]!.waitingFor) waited.add(rank);
    }
    expect(waited).toContain(2);
    expect((await groups[2]!.dumpTrace({ onlyActive: true })).entries).toEqual([]);
    expect((await groups[0]!.dumpTrace({ includeCollectives: false })).entries).toEqual([]);
    groups[0]!.abort("enough");
    await settle();
    const dead = await groups[1]!.dumpTrace();
    expect(dead.entries.at(-1)).toMatchObject({ state: "completed", error: { code: "ABORTED" } });
    expect(dead.groups[0]).toMatchObject({ dead: { code: "ABORTED", message: expect.stringContaining("enough") } });
  });

  it("keeps the last 2,048 calls, of all groups of the job together, however many there were", async () => {
    const [group] = await ranksOf(1);
    const child = await group!.newGroup([0], { name: "child" });
    for (let call = 0; call < 1_500; call++) {
      await group!.barrier();
      await child!.allReduce(f32(call % 10));
    }
    const { entries, recorded, groups } = await child!.dumpTrace();
    expect([entries.length, recorded]).toEqual([2_048, 3_001]);
    expect(entries.map(({ record }) => record)).toEqual(Array.from({ length: 2_048 }, (_, i) => i + 3_001 - 2_048));
    expect(entries.at(-1)).toMatchObject({ group: 1, collective: "allReduce", sequence: 1_500 });
    expect(groups.map(({ name }) => name)).toEqual(["default", "child"]);
    expect((await child!.stats()).collectives).toMatchObject([{ collective: "allReduce", calls: 1_500 }]);
  });

  it("forgets groups that were left, with the last of their calls", async () => {
    const [group] = await ranksOf(1);
    const left = await group!.newGroup([0], { name: "left" });
    await left!.barrier();
    await left!.destroy();
    expect((await group!.dumpTrace()).groups).toMatchObject([
      { name: "default" },
      { name: "left", left: true, dead: null },
    ]);
    for (let call = 0; call < 2_100; call++) await group!.barrier();
    const later = await group!.newGroup([0], { name: "later" });
    await later!.barrier();
    const { groups, entries } = await group!.dumpTrace();
    expect(groups.map(({ name }) => name)).toEqual(["default", "later"]);
    expect(entries.at(-1)).toMatchObject({ group: 1, collective: "barrier" });
  });

  it("does not lose a call that ends when its record has made room", async () => {
    const groups = await ranksOf(2);
    const late = groups[0]!.recv(f32(), 1);
    const single = await all(groups, (group) => group.newGroup([0]));
    for (let call = 0; call < 2_100; call++) await single[0]!.barrier();
    expect((await groups[0]!.dumpTrace({ onlyActive: true })).entries).toEqual([]);
    expect((await groups[0]!.stats()).running).toBe(1);
    await groups[1]!.send(f32(), 0);
    await late;
    expect((await groups[0]!.stats()).running).toBe(0);
    expect((await groups[0]!.dumpTrace()).entries).toHaveLength(2_048);
  });

  it("has stacks while the debug level is DETAIL", async () => {
    const [group] = await ranksOf(1);
    await group!.barrier();
    setDebugLevel("DETAIL");
    onTestFinished(() => setDebugLevel(null));
    async function aFunctionOfTheProgram() {
      await group!.barrier();
    }
    await aFunctionOfTheProgram();
    const { entries } = await group!.dumpTrace();
    expect(entries[0]).not.toHaveProperty("frames");
    expect(entries[1]!.frames!.join("\n")).toMatch(/aFunctionOfTheProgram .*trace\.test/);
    const without = await group!.dumpTrace({ includeStackTraces: false });
    expect(without.entries[1]).not.toHaveProperty("frames");
  });

  it("tells persistent calls: their making and their starts", async () => {
    const groups = await ranksOf(2);
    const calls = groups.map((group) => group.persistent.allReduce(f32(6)));
    await Promise.all(calls.map(({ ready }) => ready));
    await Promise.all(calls.map((call) => call.start()));
    const { entries } = await groups[0]!.dumpTrace();
    expect(entries).toMatchObject([
      { collective: "allReduce", sequence: 1, persistent: "making", written: { count: 0 } },
      { collective: "allReduce", sequence: 2, persistent: "start", written: { count: 6 }, dtypes: ["f32"] },
    ]);
    for (const call of calls) call.free();
  });

  it("tells of a call that was refused, which has no number", async () => {
    const [group] = await ranksOf(1);
    await expect(group!.allReduce("text" as never)).rejects.toThrow(TypeError);
    const { groups, entries } = await group!.dumpTrace();
    expect(entries).toEqual([]);
    expect(groups[0]!.lastRefusal).toMatchObject({ collective: "allReduce", error: { code: "TypeError" } });
  });
});

describe("stats()", () => {
  it("counts each message at both ends alike, and each call with its bytes", async () => {
    const counts = fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 4 }), counts, async (size, calls) => {
        const groups = await ranksOf(size);
        for (const count of calls) await all(groups, (group) => group.allReduce(f32(count)));
        await all(groups, (group) => group.allGatherIntoTensor(f32(5 * size), f32(5)));
        await all(groups, (group) => group.barrier());
        const stats = await all(groups, (group) => group.stats());
        const bytes = calls.reduce((sum, count) => sum + 4 * count, 0);
        for (const { rank, peers, collectives, running, runningBytes, group } of stats) {
          expect({ group, running, runningBytes }).toEqual({ group: "default", running: 0, runningBytes: 0 });
          expect(collectives).toMatchObject([
            { collective: "allReduce", calls: calls.length, failed: 0, bytes },
            { collective: "allGatherIntoTensor", calls: 1, bytes: 20 * size },
            { collective: "barrier", calls: 1, bytes: 0, bandwidthGBs: 0 },
          ]);
          for (const { activeMs, waitedMs } of collectives)
            expect(Math.min(activeMs, waitedMs)).toBeGreaterThanOrEqual(0);
          expect(peers.map((peer) => peer.rank)).toEqual(stats.map((one) => one.rank).filter((one) => one !== rank));
          for (const peer of peers) {
            const theirs = stats[peer.rank]!.peers.find((one) => one.rank === rank)!;
            expect([peer.sentBytes, peer.sentMessages]).toEqual([theirs.receivedBytes, theirs.receivedMessages]);
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  it("adds up the traffic of all backends of a group", async () => {
    const groups = await ranksOf(2);
    await all(groups, (group) => group.registerBackend("cpu", (context) => context.builtIn()));
    await all(groups, (group) => group.barrier());
    const [before] = (await groups[0]!.stats()).peers;
    await all(groups, (group) => group.broadcast(f32(250)));
    const [after] = (await groups[0]!.stats()).peers;
    expect(after!.sentBytes - before!.sentBytes).toBe(1_000);
    for (const group of groups.slice(1)) group.barrier().catch(ignore);
    await settle();
    expect((await groups[1]!.dumpTrace({ onlyActive: true })).entries[0]).toMatchObject({ waitingFor: [0] });
    groups[1]!.abort("the test is over");
  });

  it("tells for whom calls waited, what runs, and what failed", async () => {
    const groups = await ranksOf(2);
    const early = groups[0]!.recv(f32(100), 1);
    const { running, runningBytes } = await groups[0]!.stats();
    expect({ running, runningBytes }).toEqual({ running: 1, runningBytes: 400 });
    await settle();
    await groups[1]!.send(f32(100), 0);
    await early;
    await Promise.allSettled(groups.map((group) => group.allReduce(f32(group.rank + 1))));
    const { collectives, peers } = await groups[0]!.stats();
    expect(collectives).toMatchObject([
      { collective: "allReduce", calls: 1, failed: 1 },
      { collective: "recv", calls: 1, failed: 0, bytes: 400 },
    ]);
    expect(peers[0]).toMatchObject({ rank: 1 });
    expect(peers[0]!.receivedBytes).toBeGreaterThanOrEqual(400);
  });

  it("counts the time for which a collective waits for a rank", async () => {
    const groups = await ranksOf(2);
    const first = groups[0]!.allReduce(f32(1_000));
    await settle();
    await Promise.all([first, groups[1]!.allReduce(f32(1_000))]);
    expect((await groups[0]!.stats()).peers[0]!.waitedMs).toBeGreaterThan(0);
  });
});

describe("monitoredBarrier()", () => {
  it("is a Work, which may be aborted, waited for, and withdrawn by a signal", async () => {
    const groups = await ranksOf(2);
    await all(groups, (group) => group.monitoredBarrier());
    const work = groups[0]!.monitoredBarrier();
    expect(work).toBeInstanceOf(Work);
    expect(work).toMatchObject({ opType: "BARRIER", sequence: 2 });
    await expect(work.wait(1)).rejects.toThrow(TimeoutError);
    work.abort();
    await expect(work).rejects.toThrow(AbortedError);

    const others = await ranksOf(2);
    await expect(others[0]!.monitoredBarrier({ signal: AbortSignal.abort("no time") })).rejects.toThrow(/no time/);
    const controller = new AbortController();
    const waiting = others[1]!.monitoredBarrier({ signal: controller.signal });
    controller.abort("enough");
    await expect(waiting).rejects.toThrow();
  });
});

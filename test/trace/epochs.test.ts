/** Traces of jobs whose members change, and of ranks that remember some calls no more. */
import { afterEach, describe, expect, it } from "vitest";
import { initProcessGroup, type ProcessGroup } from "../../src/node/index.ts";
import {
  mergeDumps,
  parseDump,
  type TraceDump,
  toChromeTrace,
  toTorchPickles,
  verdictOf,
} from "../../src/trace/index.ts";
import { ranksOf, settle } from "./ranks.ts";

const quiet = () => {};
const logger = { error: quiet, warn: quiet, info: quiet, debug: quiet };
let opened: ProcessGroup[] = [];
afterEach(() => Promise.all(opened.splice(0).map((group) => group.destroy())));

const all = <T>(groups: readonly ProcessGroup[], call: (group: ProcessGroup) => PromiseLike<T>) =>
  Promise.all(groups.map(call));
const dumpOf = async (group: ProcessGroup): Promise<TraceDump> =>
  parseDump(JSON.parse(JSON.stringify(await group.dumpTrace())));

function verdict(dumps: readonly TraceDump[]) {
  const trace = mergeDumps(dumps);
  toChromeTrace(trace);
  toTorchPickles(trace);
  return { ...verdictOf(trace), missing: trace.missing };
}

describe("a trace of several epochs", () => {
  it("compares the calls of each epoch with those of the same one, whichever calls they are", async () => {
    const before = await ranksOf(3);
    await all(before, (group) => group.allReduce(new Float32Array(3)));
    await all(before, (group) => group.allReduce(new Float32Array(3)));
    const old = await dumpOf(before[0]!);
    opened = await all(before, (group) => group.shrink());
    await all(opened, (group) => group.barrier());
    const dumps = await all(opened, dumpOf);
    expect(verdict(dumps)).toMatchObject({ kind: "healthy", missing: [] });
    expect(mergeDumps(dumps).groups.map(({ epoch, members }) => [epoch, members.size])).toEqual([
      [0, 3],
      [1, 3],
    ]);
    expect(verdict([old, ...dumps.slice(1)]).sentence).not.toMatch(/allReduce/);
    void opened[1]!.barrier().catch(quiet);
    void opened[2]!.barrier().catch(quiet);
    await settle();
    const waiting = await all(opened.slice(1), dumpOf);
    const late = verdict([old, ...waiting]);
    expect(late).toMatchObject({ kind: "missing-rank", culprits: [0] });
    expect(late.sentence).toMatch(/^group "default": rank 0 never came to the group|^rank 0 never came to the group/);
  });

  it("takes in ranks that joined, and misses none that was lost before", async () => {
    const initMethod = `memory://epochs-${process.pid}`;
    const options = { initMethod, timeoutMs: 10_000, logger } as const;
    const first = await Promise.all([0, 1, 2].map((rank) => initProcessGroup({ ...options, rank, worldSize: 3 })));
    const joining = initProcessGroup({ ...options, join: true });
    await new Promise<void>((resolve) => first[0]!.onMembership(({ type }) => type === "waiting" && resolve()));
    opened = [...(await all(first, (group) => group.admit())), await joining];
    await all(opened, (group) => group.barrier());
    expect(verdict(await all(opened, dumpOf))).toMatchObject({ kind: "healthy", missing: [] });
    const [lost] = opened.splice(1, 1);
    await lost!.destroy();
    opened = await all(opened, (group) => group.shrink());
    await all(opened, (group) => group.barrier());
    expect(verdict(await all(opened, dumpOf))).toMatchObject({ kind: "healthy", missing: [] });
    const [gone, ...others] = await all(opened, dumpOf);
    expect(verdict(others)).toMatchObject({ kind: "missing-dump", missing: [gone!.rank] });
  });
});

describe("a rank that remembers the calls of a group no more", () => {
  it("has made them all the same", async () => {
    const groups = await ranksOf(2);
    for (let call = 0; call < 20; call++) await all(groups, (group) => group.barrier());
    const alone = await all(groups, (group) => group.newGroup([0]));
    for (let call = 0; call < 2_100; call++) await alone[0]!.barrier();
    const dumps = await all(groups, dumpOf);
    expect(dumps[0]!.entries.some(({ group }) => dumps[0]!.groups[group]!.name === "default")).toBe(false);
    expect(verdict(dumps)).toMatchObject({ kind: "healthy" });
  });
});

describe("parseDump()", () => {
  it("reads a dump of as many calls as there may be in a file", async () => {
    const [group] = await ranksOf(1);
    await group!.barrier();
    const dump = await dumpOf(group!);
    const entries = Array.from({ length: 130_000 }, (_, index) => ({ ...dump.entries[0]!, sequence: index + 1 }));
    expect(verdictOf(mergeDumps([parseDump({ ...dump, entries })]))).toMatchObject({ kind: "healthy" });
  });

  it("refuses a group with a rank twice", async () => {
    const dump = await dumpOf((await ranksOf(2))[0]!);
    const groups = [{ ...dump.groups[0]!, globalRanks: [0, 0] }];
    expect(() => parseDump({ ...dump, groups })).toThrow(/a group has a rank twice/);
  });
});

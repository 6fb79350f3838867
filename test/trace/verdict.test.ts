import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { mergeDumps, verdictOf } from "../../src/trace/index.ts";
import { ranksOf, settle, traceOf } from "./ranks.ts";

const f32 = (count = 4) => new Float32Array(count);
const ignore = () => undefined;

/** Collectives in which nobody ends before all have come. */
const CALLS: Readonly<Record<string, (group: ProcessGroup) => PromiseLike<unknown>>> = {
  allReduce: (group) => group.allReduce(f32()),
  barrier: (group) => group.barrier(),
  allGather: (group) =>
    group.allGather(
      Array.from({ length: group.size }, () => f32()),
      f32(),
    ),
  reduceScatterTensor: (group) => group.reduceScatterTensor(f32(2), f32(2 * group.size)),
  allToAllSingle: (group) => group.allToAllSingle(f32(group.size), f32(group.size)),
};

describe("verdictOf()", () => {
  it("names the rank that never entered a call, whatever the calls, and says who waits there", async () => {
    const property = fc.asyncProperty(
      fc.integer({ min: 2, max: 4 }),
      fc.nat(3),
      fc.array(fc.constantFrom(...Object.keys(CALLS)), { minLength: 1, maxLength: 6 }),
      async (size, chosen, names) => {
        const groups = await ranksOf(size);
        const victim = chosen % size;
        const others = groups.filter(({ rank }) => rank !== victim);
        const last = names.pop()!;
        for (const name of names) await Promise.all(groups.map((group) => CALLS[name]!(group)));
        for (const group of others) Promise.resolve(CALLS[last]!(group)).catch(ignore);
        await settle();
        const verdict = verdictOf(await traceOf(groups));
        expect(verdict).toMatchObject({ kind: "missing-rank", culprits: [victim] });
        expect([...verdict.waiting].sort()).toEqual(others.map(({ rank }) => rank));
        const waits = others.map(({ rank }) => rank).join(", ");
        expect(verdict.sentence).toMatch(
          new RegExp(
            `^rank ${victim} never entered ${last} #${names.length + 1}.*; ranks? ${waits} waits? there since \\d+ ms$`,
          ),
        );
        for (const group of others) group.abort("the test is over");
      },
    );
    await fc.assert(property, { numRuns: 25 });
  });

  it("says that all is well, and that a call runs where nobody is missing", async () => {
    const groups = await ranksOf(3);
    for (let call = 0; call < 5; call++) await Promise.all(groups.map((group) => group.allReduce(f32())));
    expect(verdictOf(await traceOf(groups))).toMatchObject({
      kind: "healthy",
      culprits: [],
      sentence: "healthy: all 15 calls of ranks 0, 1, 2 in 1 group have ended",
    });
  });

  it("names the field in which calls differ, whether the call hangs or has ended with the error", async () => {
    const cases: [string, RegExp, (group: ProcessGroup) => PromiseLike<unknown>][] = [
      ["count", /rank 2 called allReduce #1 of 5 f32 \(sum\)/, (g) => g.allReduce(f32(g.rank === 2 ? 5 : 4))],
      [
        "dtype",
        /ranks 0, 1 called allReduce #1 of 4 f32/,
        (g) => g.allReduce(g.rank === 2 ? new Int32Array(4) : f32()),
      ],
      [
        "op",
        /rank 2 called allReduce #1 of 4 f32 \(max\)/,
        (g) => g.allReduce(f32(), { op: g.rank === 2 ? "max" : "sum" }),
      ],
      [
        "root",
        /rank 2 called broadcast #1 of 4 f32 \(root 1\)/,
        (g) => g.broadcast(f32(), { root: g.rank === 2 ? 1 : 0 }),
      ],
      ["collective", /rank 2 called barrier #1/, (g) => (g.rank === 2 ? g.barrier() : g.allReduce(f32()))],
    ];
    for (const [field, sentence, call] of cases) {
      const groups = await ranksOf(3);
      await Promise.allSettled(groups.map(call));
      const verdict = verdictOf(await traceOf(groups));
      expect(verdict.kind, field).toBe("mismatch");
      expect(verdict.sentence).toMatch(new RegExp(`^call #1 differs between ranks \\(${field}\\): `));
      expect(verdict.sentence).toMatch(sentence);
      expect(verdict.culprits).toEqual([2]);
    }
  });

  it("goes on from a mismatch that was caught", async () => {
    const groups = await ranksOf(2);
    await Promise.allSettled(groups.map((group) => group.allReduce(f32(4 + group.rank))));
    await Promise.all(groups.map((group) => group.barrier()));
    expect(verdictOf(await traceOf(groups)).kind).toBe("healthy");
  });

  it("says that a rank left no dump", async () => {
    const groups = await ranksOf(3);
    await Promise.all(groups.map((group) => group.barrier()));
    expect(verdictOf(await traceOf(groups.slice(0, 2)))).toMatchObject({
      kind: "missing-dump",
      culprits: [2],
      sentence: "there is no dump of rank 2; of the others, all 2 calls of ranks 0, 1 in 1 group have ended",
    });
    for (const group of groups.slice(0, 2)) group.allReduce(f32()).catch(ignore);
    await settle();
    const verdict = verdictOf(await traceOf(groups.slice(0, 2)));
    expect(verdict).toMatchObject({ kind: "missing-rank", culprits: [2], waiting: [0, 1] });
    expect(verdict.sentence).toMatch(
      /^rank 2 left no dump, and is missing in allReduce #2; ranks 0, 1 wait there since/,
    );
    groups[0]!.abort("the test is over");
  });

  it("names a message without a partner", async () => {
    const groups = await ranksOf(3);
    groups[0]!.recv(f32(), 1, { tag: 7 }).catch(ignore);
    await settle();
    const verdict = verdictOf(await traceOf(groups));
    expect(verdict).toMatchObject({ kind: "message", culprits: [1], waiting: [0] });
    expect(verdict.sentence).toMatch(
      /^rank 0 waits in recv #1 from rank 1 \(tag 7\) since \d+ ms, and rank 1 has sent nothing with this tag$/,
    );
    groups[0]!.abort("the test is over");
  });

  it("follows a chain of waits to its end: who waits for a waiting rank is not told first", async () => {
    const groups = await ranksOf(3);
    groups[1]!.recv(f32(), 2).catch(ignore);
    groups[0]!.barrier().catch(ignore);
    await settle();
    const verdict = verdictOf(await traceOf(groups));
    // Rank 2 is missing in the barrier, and has not sent to rank 1, for which rank 0 waits too.
    expect(verdict.culprits).toEqual([2]);
    const pair = await groups[0]!.dumpTrace();
    expect(pair.entries.at(-1)).toMatchObject({ collective: "barrier", state: "started" });
    groups[0]!.abort("the test is over");
  });

  it("names ranks that wait for each other", async () => {
    const groups = await ranksOf(2);
    groups.forEach((group) => void group.recv(f32(), 1 - group.rank).catch(ignore));
    await settle();
    const verdict = verdictOf(await traceOf(groups));
    expect(verdict).toMatchObject({ kind: "deadlock", culprits: [0, 1] });
    expect(verdict.sentence).toMatch(
      /^ranks 0, 1 wait for each other since \d+ ms: rank 0 in recv #1 from rank 1, rank 1 in recv #1 from rank 0$/,
    );
    groups[0]!.abort("the test is over");
  });

  it("names those in the circle alone, and not who waits behind them", async () => {
    const groups = await ranksOf(3);
    const pair = await Promise.all(groups.map((group) => group.newGroup([0, 1])));
    groups[0]!.barrier().catch(ignore);
    groups[2]!.barrier().catch(ignore);
    pair[1]!.barrier().catch(ignore);
    await settle();
    expect(verdictOf(await traceOf(groups))).toMatchObject({ kind: "deadlock", culprits: [0, 1] });
    groups[0]!.abort("the test is over");
  });

  it("says that a rank stopped earlier, when nobody waits", async () => {
    const groups = await ranksOf(3);
    await Promise.all(groups.map((group) => group.barrier()));
    const early = await groups[2]!.dumpTrace();
    for (let call = 0; call < 2; call++) await Promise.all(groups.map((group) => group.allReduce(f32())));
    const { dumps } = await traceOf(groups.slice(0, 2));
    const verdict = verdictOf(mergeDumps([...dumps, early]));
    expect(verdict).toMatchObject({ kind: "stopped", culprits: [2], waiting: [] });
    expect(verdict.sentence).toBe(
      "rank 2 stopped after barrier #1; ranks 0, 1 went on to allReduce #3, and nobody waits",
    );
  });

  it("tells a subgroup's trouble, and why a rank is missing there: it waits elsewhere, was refused, or left", async () => {
    const groups = await ranksOf(3);
    const children = await Promise.all(groups.map((group) => group.newGroup([0, 1], { name: "pair" })));
    await Promise.all(children.map((child) => child?.barrier()));
    await expect(groups[1]!.allReduce("no tensor" as never)).rejects.toThrow(TypeError);
    for (const group of [groups[0]!, groups[2]!]) group.allReduce(f32()).catch(ignore);
    await settle();
    const refused = verdictOf(await traceOf(groups));
    expect(refused.sentence).toMatch(
      /^group "trace-\d+|^group "default": rank 1 never entered allReduce #2 \(its allReduce was refused: /,
    );
    children[1]!.recv(f32(), 0).catch(ignore);
    await settle();
    // Rank 0, which waits for rank 1 in one group, is awaited by it in the other.
    expect(verdictOf(await traceOf(groups))).toMatchObject({ kind: "deadlock" });
    groups[0]!.abort("the test is over");
  });

  it("tells the same when the group has died of the timeout", async () => {
    const groups = await ranksOf(3, 200);
    await Promise.all(groups.map((group) => group.barrier()));
    await Promise.allSettled(groups.slice(0, 2).map((group) => group.allReduce(f32())));
    const verdict = verdictOf(await traceOf(groups));
    expect(verdict).toMatchObject({ kind: "missing-rank", culprits: [2], waiting: [0, 1] });
    expect(verdict.sentence).toMatch(/^rank 2 never entered allReduce #2.*; ranks 0, 1 waited there for \d+ ms$/);
  });

  it("names ranks that do not answer, though they had entered", async () => {
    const groups = await ranksOf(3);
    for (const group of groups.slice(0, 2)) group.barrier().catch(ignore);
    await settle();
    const { dumps } = await traceOf(groups);
    const verdict = verdictOf(mergeDumps(dumps, new Map([[2, 2100]])));
    expect(verdict).toMatchObject({ kind: "missing-rank", culprits: [2], waiting: [0, 1] });
    expect(verdict.sentence).toMatch(
      /^rank 2 has not answered for 2\.1 s, and is missing in barrier #1; ranks 0, 1 wait/,
    );
    groups[0]!.abort("the test is over");
  });
});

describe("verdictOf() of ranks that were seen at different times", () => {
  it("does not blame the others for a call that they have ended, nor believe what a silent rank said last", async () => {
    const groups = await ranksOf(3);
    for (const group of groups.slice(0, 2)) group.allReduce(f32()).catch(ignore);
    await settle();
    // Rank 0 in call 1, as it would be if it were stopped there, while the others end it and go on to call 2.
    const stale = await groups[0]!.dumpTrace();
    await groups[2]!.allReduce(f32());
    await settle();
    for (const group of groups.slice(1)) group.barrier().catch(ignore);
    await settle();
    const dumps = [stale, await groups[1]!.dumpTrace(), await groups[2]!.dumpTrace()];
    for (const silent of [new Map<number, number>(), new Map([[0, 1500]])]) {
      const verdict = verdictOf(mergeDumps(dumps, silent));
      expect(verdict).toMatchObject({ kind: "missing-rank", culprits: [0], waiting: [1, 2] });
      expect(verdict.sentence).toMatch(
        silent.size > 0
          ? /^rank 0 has not answered for 1\.5 s, and is missing in barrier #2; ranks 1, 2 wait there/
          : /^rank 0 never entered barrier #2 \(it is in allReduce #1 still\); ranks 1, 2 wait there/,
      );
    }
    groups[0]!.abort("the test is over");
  });
});

describe("mergeDumps()", () => {
  it("refuses two dumps of one rank, dumps of two jobs, and none", async () => {
    const [first] = await ranksOf(1);
    const [second] = await ranksOf(2);
    const dumps = [await first!.dumpTrace(), await second!.dumpTrace()] as const;
    expect(() => mergeDumps([dumps[0], dumps[0]])).toThrow(/two dumps are of rank 0/);
    expect(() => mergeDumps([dumps[0], { ...dumps[1], rank: 1 }])).toThrow(/job of 1 ranks, rank 1 of one of 2/);
    expect(() => mergeDumps([])).toThrow(RangeError);
  });
});

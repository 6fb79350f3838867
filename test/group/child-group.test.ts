/** Groups made of ranks of another group: their names, descriptions and time limits. */
import { describe, expect, it } from "vitest";
import { MismatchError, TimeoutError } from "../../src/errors.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { TEST_TRANSPORTS, withGroup, withMemoryGroups } from "../conformance/harness.ts";

const failureOf = (call: PromiseLike<unknown>): Promise<Error> =>
  Promise.resolve(call).then(
    () => new Error("no error"),
    (error) => error,
  );

describe("newGroup()", () => {
  it("gives the group its name, description and time limit, else the parent's", async () => {
    await withMemoryGroups(2, async (world) => {
      const plain = (await world.newGroup([1, 0]))!;
      expect(plain).toMatchObject({ name: "default/1", description: "default/1", timeoutMs: 25_000 });
      const named = (await world.newGroup([1, 0], { name: "pipeline", description: "stage 1", timeoutMs: 50 }))!;
      expect(named).toMatchObject({ name: "pipeline", description: "stage 1", timeoutMs: 50 });
      expect(named.info()).toMatchObject({ name: "pipeline", timeoutMs: 50 });
      const inner = (await named.newGroup([0, 1], { description: "inner" }))!;
      expect(inner).toMatchObject({ name: "pipeline/1", description: "inner", timeoutMs: 50 });
      // The limit holds for calls that name none.
      if (inner.rank === 0) {
        expect(await failureOf(inner.recv(new Uint8Array(1), 1))).toBeInstanceOf(TimeoutError);
        await world.barrier();
      } else {
        await world.barrier();
      }
    });
  });

  it("refuses a name that the job has or had, and one that ranks do not share", async () => {
    await withMemoryGroups(3, async (world, rank) => {
      const group = await world.newGroup([0, 1], { name: "twice" });
      await group?.destroy();
      const again = await failureOf(world.newGroup([1, 2], { name: "twice" }));
      expect(String(again)).toMatch(/^RangeError: name is "twice", which this job has or had/);
      expect(String(await failureOf(world.newGroup([1, 2], { name: world.name })))).toMatch(/^RangeError/);
      for (const junk of ["", 3, null, {}, "x".repeat(100_000), "\ud800"]) {
        const error = await failureOf(world.newGroup([1, 2], { name: junk as string }));
        expect(String(error)).toMatch(/^(Type|Range)Error: name (must be a string|is|has)/);
      }
      const error = await failureOf(world.newGroup([0, 1, 2], { name: rank === 1 ? "odd" : "even" }));
      expect(error).toBeInstanceOf(MismatchError);
      expect(error.message).toContain("list of ranks, or name differs");
      await world.barrier();
    });
  });
});

describe.each(TEST_TRANSPORTS)("groups made at once over %s", (transport) => {
  it("are never taken for one another", async () => {
    await withGroup(transport, 4, async (world, rank) => {
      const half = (await world.split(rank % 2))!;
      // Ranks that have no group in common may give theirs one name.
      const child = (await half.newGroup([1, 0], { name: "x" }))!;
      // The name is taken from the call on.
      const [first, second] = [
        world.newGroup([0, 1, 2, 3], { name: "y" }),
        world.newGroup([3, 2, 1, 0], { name: "y" }),
      ];
      expect(String(await failureOf(second))).toMatch(/^RangeError: name is "y", which this job has or had/);
      // A call that fails frees its name.
      expect((await first)?.name).toBe("y");
      expect(await failureOf(world.newGroup(rank === 0 ? [0, 1] : [0, 2], { name: "z" }))).toBeInstanceOf(
        MismatchError,
      );
      expect((await world.newGroup([0, 1, 2, 3], { name: "z" }))!.name).toBe("z");
      // Calls of one batch begin together.
      const made: Promise<ProcessGroup | null>[] = [];
      await world.coalesce(() => {
        for (const ranks of [
          [0, 1, 2, 3],
          [3, 1, 0, 2],
          [0, 1, 2, 3],
        ])
          made.push(world.newGroup(ranks));
      });
      const batch = (await Promise.all(made)) as ProcessGroup[];
      expect(new Set(batch.map(({ name }) => name)).size).toBe(3);

      const groups = [child, (await first)!, ...batch, half];
      const sums = groups.map((_, i) => new Float64Array(1000).fill((i + 1) * (rank + 1)));
      for (let round = 0; round < 3; round++) {
        const inputs = sums.map((sum) => sum.slice());
        await Promise.all(groups.map((group, i) => group.allReduce(inputs[i]!)));
        const total = (group: { globalRanks: readonly number[] }) =>
          group.globalRanks.reduce((sum, each) => sum + each + 1, 0);
        expect(inputs.map((input) => input[999])).toEqual(groups.map((group, i) => (i + 1) * total(group)));
      }
      await world.barrier();
    });
  });
});

describe("split()", () => {
  it("names each color's group, or lets the ranks of a color do it", async () => {
    await withMemoryGroups(4, async (world, rank) => {
      expect((await world.split(rank % 2))!.name).toBe(`default/1:${rank % 2}`);
      const name = rank % 2 === 0 ? "even" : "odd";
      const named = (await world.split(rank % 2, -rank, { name, timeoutMs: 60_000, description: "by parity" }))!;
      expect(named).toMatchObject({ name, description: "by parity", timeoutMs: 60_000, size: 2 });
      expect(named.globalRanks).toEqual(rank % 2 === 0 ? [2, 0] : [3, 1]);
      await named.barrier();
    });
  });

  it("rejects on every rank where the names do not fit the colors", async () => {
    await withMemoryGroups(3, async (world, rank) => {
      const torn = await failureOf(world.split(0, 0, rank === 2 ? { name: "mine" } : {}));
      expect(torn).toBeInstanceOf(MismatchError);
      expect(torn.message).toContain('of color 0, rank 0 gives no name and rank 2 the name "mine"');
      const same = await failureOf(world.split(rank === 0 ? null : rank, 0, { name: "one for all" }));
      expect(same).toBeInstanceOf(MismatchError);
      expect(same.message).toContain('rank 1 of color 1 and rank 2 of color 2 give the name "one for all"');
      await world.barrier();
    });
  });
});

import { describe, expect, it } from "vitest";
import type { AlgorithmFamily } from "../../src/algorithm/rows.ts";
import { algorithmNames, selectAlgorithm, tableWith } from "../../src/backend/direct/select.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import { CaseData, conformanceCase, digest, foldElements, SeededRandom } from "../../src/testing/index.ts";
import { checkCases, TEST_TRANSPORTS, withGroup, withMemoryGroups } from "./harness.ts";

const SIZES = [2, 3, 5, 8];
const SEGMENT_BYTES = [256, 4096, 262_144];
const COUNT = 10_007;
const TABLE = tableWith();

/** The algorithms that `deterministic: true` admits, with a hub or without. */
function rankOrderNames(collective: AlgorithmFamily, hub: "none" | "all" = "none"): string[] {
  return algorithmNames(TABLE, collective).filter((algorithm) => {
    const query = { collective, algorithm, bytes: 1, size: 2, link: "memory" } as const;
    try {
      const promises = {
        deterministic: true,
        commutative: true,
        sameArithmetic: true,
        custom: false,
        crowded: false,
      };
      return selectAlgorithm(TABLE, { ...query, ...promises, hub }) !== undefined;
    } catch (error) {
      if (error instanceof RangeError) return false;
      throw error;
    }
  });
}

/** Random f32 of every rank: nothing about them is round. */
function randomInputs(size: number): Float32Array[] {
  return Array.from({ length: size }, (_, rank) => {
    const random = new SeededRandom(size, "deterministic", rank);
    return Float32Array.from({ length: COUNT }, () => (random.u32() - 2 ** 31) * 2 ** (random.below(40) - 50));
  });
}

describe("deterministic: true", () => {
  it("admits more than one algorithm, and not every one", () => {
    const names = rankOrderNames("allReduce");
    expect(names.length).toBeGreaterThan(1);
    expect(algorithmNames(TABLE, "allReduce").length).toBeGreaterThan(names.length);
  });

  for (const size of SIZES) {
    const inputs = randomInputs(size);
    const ops = inputs.map(() => ReduceOp.SUM);
    const folded = foldElements("f32", ops, inputs);

    for (const transport of TEST_TRANSPORTS) {
      const hub = transport === "memory" ? "none" : "all";
      it(`gives the bits of the left fold in every way over ${transport} with ${size} ranks`, {
        timeout: 60_000,
      }, async () => {
        const expected = await digest([folded]);
        const seen: string[] = [];
        for (const segmentBytes of SEGMENT_BYTES) {
          const digests = await withGroup(
            transport,
            size,
            async (group, rank) => {
              const own: string[] = [];
              for (const algorithm of rankOrderNames("allReduce", hub)) {
                const tensor = (inputs[rank] as Float32Array).slice();
                await group.allReduce(tensor, { algorithm });
                own.push(await digest([tensor]));
              }
              for (const algorithm of rankOrderNames("reduce", hub)) {
                const tensor = (inputs[rank] as Float32Array).slice();
                await group.reduce(tensor, { root: size - 1, algorithm });
                own.push(rank === size - 1 ? await digest([tensor]) : expected);
              }
              for (const algorithm of rankOrderNames("reduceScatter", hub)) {
                const whole = new Float32Array(COUNT);
                // Blocks of unequal length.
                const starts = Array.from({ length: size + 1 }, (_, index) =>
                  Math.floor((COUNT * index ** 2) / size ** 2),
                );
                const blocks = starts.slice(0, -1).map((start, index) => inputs[rank]!.slice(start, starts[index + 1]));
                const mine = whole.subarray(starts[rank], starts[rank + 1]);
                await group.reduceScatter(mine, blocks, { algorithm });
                const parts = starts.slice(0, -1).map((start, index) => whole.subarray(start, starts[index + 1]));
                await group.allGather(parts, mine);
                own.push(await digest([whole]));
              }
              return own;
            },
            { deterministic: true, segmentBytes },
          );
          seen.push(...digests.flat());
        }
        expect(new Set(seen)).toEqual(new Set([expected]));
        const ways = (["allReduce", "reduce", "reduceScatter"] as const).flatMap((one) =>
          rankOrderNames(one, hub),
        ).length;
        expect(seen.length).toBe(ways * SEGMENT_BYTES.length * size);
      });
    }

    it(`folds every float dtype and op from the left with ${size} ranks`, async () => {
      const data = new CaseData();
      const cases = (["f32", "f64", "f16", "bf16"] as const).flatMap((dtype) =>
        (["sum", "product", "premul-sum", "avg"] as const).flatMap((op) =>
          [
            "allReduce",
            "reduce",
            "reduceScatter",
            "reduceScatterTensor",
            "allReduceCoalesced",
            "scan",
            "exscan",
          ].flatMap((collective) => {
            if (op === "avg" && (collective.endsWith("scan") || dtype.endsWith("f16"))) return [];
            return [1, 257, 5000].map((count) =>
              conformanceCase({ collective, dtype, op, count, seed: size, inputs: "random" }, data),
            );
          }),
        ),
      );
      expect(await checkCases("memory", size, cases, { deterministic: true })).toBe(cases.length);
      expect(cases.length).toBeGreaterThan(250);
    });

    it(`folds an operation that is neither commutative nor associative in rank order with ${size} ranks`, async () => {
      const op = ReduceOp.custom({
        name: "digits",
        wgsl: "a * 31 + b",
        js: (a: number, b: number) => a * 31 + b,
        identity: 0,
        commutative: false,
      });
      // Not a deterministic group: the operation alone asks for it.
      await withMemoryGroups(size, async (group, rank) => {
        for (const count of [1, 100, 70_000]) {
          const tensor = Int32Array.from({ length: count }, (_, index) => rank * 1000 + index);
          await group.allReduce(tensor, { op });
          const expected = Int32Array.from({ length: count }, (_, index) => {
            let value = index;
            for (let other = 1; other < size; other++) value = (Math.imul(value, 31) + other * 1000 + index) | 0;
            return value;
          });
          expect(await digest([tensor])).toBe(await digest([expected]));
        }
      });
    });
  }

  it("refuses an algorithm that does not fold in rank order, and the group is whole", async () => {
    const unordered = "ring";
    expect(rankOrderNames("allReduce")).not.toContain(unordered);
    await withMemoryGroups(
      2,
      async (group) => {
        const refused = (async () => group.allReduce(Float32Array.of(1), { algorithm: unordered }))();
        await expect(refused).rejects.toThrow(RangeError);
        await expect(refused).rejects.toThrow(/rank order/);
        const tensor = Float32Array.of(1);
        await group.allReduce(tensor);
        expect(tensor[0]).toBe(2);
      },
      { deterministic: true },
    );
  });
});

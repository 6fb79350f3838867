import { describe, expect, it } from "vitest";
import { CASE_COLLECTIVES, type ConformanceCase, ConformanceError, conformanceCases } from "../../src/testing/index.ts";
import { oracleGroups, type Spoil } from "./oracle-group.ts";

/** What the ranks of one case ended with: a digest each, or the error of the first that found a mistake. */
async function outcome(one: ConformanceCase, size: number, spoil?: Spoil): Promise<string[] | Error> {
  const results = await Promise.allSettled(oracleGroups(size, spoil).map((group) => one.run(group)));
  const failed = results.find((result) => result.status === "rejected");
  if (failed) return failed.reason as Error;
  return Promise.all(
    results.map((result) => (result as PromiseFulfilledResult<{ shared(): Promise<string> }>).value.shared()),
  );
}

describe("conformanceCases()", () => {
  it("finds nothing wrong with a group that is right, at any number of ranks", async () => {
    for (const size of [1, 2, 3, 4, 7]) {
      for (const one of conformanceCases({ size, seed: size, counts: [0, 1, 5, 40] })) {
        const result = await outcome(one, size);
        if (result instanceof Error) throw result;
        // A matcher costs more than most of the cases.
        if (new Set(result).size !== 1) expect.fail(`${one.name}: ranks differ: ${result.join(", ")}`);
      }
    }
  });

  it("finds one wrong bit in the result of any collective, and names the case and the rank", async () => {
    const silent = new Set(["barrier", "allGatherObject", "broadcastObject", "gatherObject", "scatterObject"]);
    const found = new Set<string>();
    for (const one of conformanceCases({ size: 3, dtypes: ["i32"], ops: ["sum"], counts: [5] })) {
      let spoiled = false;
      const result = await outcome(one, 3, (_, __, written) => {
        if (spoiled) return;
        spoiled = true;
        written[4] = (written[4] as number) ^ 1;
      });
      if (silent.has(one.spec.collective)) continue;
      expect(result).toBeInstanceOf(ConformanceError);
      expect((result as Error).message).toMatch(new RegExp(`^${one.spec.collective} i32.* count 5 .*rank \\d of \\d`));
      found.add(one.spec.collective);
    }
    const expected = CASE_COLLECTIVES.filter((name) => !silent.has(name));
    expect([...found].sort()).toEqual([...expected].sort());
  });

  it("finds a byte written beside a tensor", async () => {
    for (const offset of [-1, 5]) {
      const [one] = conformanceCases({ collectives: ["allReduce"], dtypes: ["u8"], ops: ["sum"], counts: [5] });
      const result = await outcome(one as ConformanceCase, 2, (_, __, written) => {
        new Uint8Array(written.buffer)[written.byteOffset + offset] = 0;
      });
      expect(result).toBeInstanceOf(ConformanceError);
      expect((result as Error).message).toMatch(/bytes beside tensor 0/);
    }
  });

  it("finds the sign of a zero and the bits of a NaN", async () => {
    for (const wrong of [0x80000000, 0x7fc00000 ^ 1]) {
      const [one] = conformanceCases({ collectives: ["allReduce"], dtypes: ["f32"], ops: ["sum"], counts: [1000] });
      let spoiled = false;
      const result = await outcome(one as ConformanceCase, 2, (_, __, written) => {
        const bits = new Uint32Array(written.buffer, written.byteOffset, written.length);
        const at = bits.indexOf(wrong === 0x80000000 ? 0 : 0x7fc00000);
        spoiled = at >= 0;
        if (at >= 0) bits[at] = wrong;
      });
      expect(spoiled).toBe(true);
      expect(result).toBeInstanceOf(ConformanceError);
    }
  });
});

import { describe, expect, it } from "vitest";
import { pairwiseCover } from "../../src/testing/index.ts";

const factors = {
  animal: ["cat", "dog", "bird", "fish", "worm"],
  action: ["walk", "fly", "swim"],
  count: [0, 1, 2, 3],
  loud: [true, false],
} as const;

/** Worms make no noise and fish do not walk. */
function allows({ animal, action, loud }: Readonly<Record<string, unknown>>): boolean {
  return !(animal === "worm" && loud) && !(animal === "fish" && action === "walk");
}

function pairsOf(row: Record<string, unknown>): string[] {
  const entries = Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.flatMap((left, index) => entries.slice(index + 1).map((right) => JSON.stringify([left, right])));
}

/** Every allowed pair, found by counting through the full product. */
function allPairs(): Set<string> {
  const pairs = new Set<string>();
  for (const animal of factors.animal)
    for (const action of factors.action)
      for (const count of factors.count)
        for (const loud of factors.loud) {
          const row = { animal, action, count, loud };
          for (const pair of pairsOf(row)) {
            if (allows(Object.fromEntries(JSON.parse(pair) as [string, unknown][]))) pairs.add(pair);
          }
        }
  return pairs;
}

describe("pairwiseCover()", () => {
  it("covers every allowed pair and no other", () => {
    for (let seed = 0; seed < 20; seed++) {
      const rows = pairwiseCover(factors, seed, allows);
      expect(new Set(rows.flatMap(pairsOf))).toEqual(allPairs());
      expect(rows.length).toBeLessThan(30);
    }
  });

  it("gives the same rows for the same seed, and others for another", () => {
    expect(pairwiseCover(factors, 7)).toEqual(pairwiseCover(factors, 7));
    expect(pairwiseCover(factors, 7)).not.toEqual(pairwiseCover(factors, 8));
  });

  it("says which pair fits in no row", () => {
    const never = (pair: Readonly<Record<string, unknown>>) => !("loud" in pair && "animal" in pair);
    expect(() => pairwiseCover(factors, 1, never)).toThrow(/no row holds .*animal/);
  });
});

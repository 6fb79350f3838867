import { describe, expect, it } from "vitest";
import {
  binomialPeers,
  doublingDistances,
  doublingPeers,
  otherRanks,
  ringPeers,
  wrap,
} from "../../src/algorithm/toolkit/pattern.ts";

const SIZES = Array.from({ length: 70 }, (_, i) => i + 1);
const ranksOf = (size: number) => Array.from({ length: size }, (_, rank) => rank);

describe("wrap()", () => {
  it("is never negative", () => {
    expect([-9, -4, -1, 0, 3, 4, 9].map((value) => wrap(value, 4))).toEqual([3, 0, 3, 0, 3, 0, 1]);
  });
});

describe("ringPeers()", () => {
  it.each([1, 2, 3, 8])("is one ring through %i ranks", (size) => {
    let rank = 0;
    const seen = ranksOf(size).map(() => {
      const { next } = ringPeers(rank, size);
      expect(ringPeers(next, size).previous).toBe(rank);
      rank = next;
      return rank;
    });
    expect(seen.toSorted((a, b) => a - b)).toEqual(ranksOf(size));
  });
});

describe("otherRanks()", () => {
  it("begins with the next rank and leaves out its own", () => {
    expect(otherRanks(2, 5)).toEqual([3, 4, 0, 1]);
    expect(otherRanks(0, 1)).toEqual([]);
  });
});

describe("doublingDistances()", () => {
  it("has ⌈log₂ size⌉ of them", () => {
    for (const size of SIZES) expect(doublingDistances(size)).toHaveLength(Math.ceil(Math.log2(size)));
  });
});

describe("binomialPeers()", () => {
  it("is a tree of ⌈log₂ size⌉ levels that reaches every rank once, from every root", () => {
    for (const size of SIZES) {
      for (const root of [0, 1, size - 1].filter((rank) => rank < size)) {
        const depth = new Map([[root, 0]]);
        for (const [rank, level] of depth) {
          for (const child of binomialPeers(rank, size, root).children) {
            expect(depth.has(child)).toBe(false);
            expect(binomialPeers(child, size, root).parent).toBe(rank);
            depth.set(child, level + 1);
          }
        }
        expect(depth.size).toBe(size);
        expect(Math.max(...depth.values())).toBeLessThanOrEqual(Math.ceil(Math.log2(size)));
        expect(binomialPeers(root, size, root).parent).toBeNull();
      }
    }
  });

  it("names the largest subtree first", () => {
    expect(binomialPeers(0, 8, 0).children).toEqual([4, 2, 1]);
    expect(binomialPeers(1, 6, 1).children).toEqual([5, 3, 2]);
  });
});

describe("doublingPeers()", () => {
  it("leads every rank to every other, by runs of consecutive ranks of which the lower partner's is below", () => {
    for (const size of SIZES) {
      let held = ranksOf(size).map((rank) => [rank]);
      const peers = ranksOf(size).map((rank) => doublingPeers(rank, size));
      const join = (a: number[], b: number[]) => (a[0]! < b[0]! ? [...a, ...b] : [...b, ...a]);

      held = held.map((run, rank) => {
        const { ward } = peers[rank]!;
        if (ward === null) return run;
        expect(peers[ward]!.proxy).toBe(rank);
        return join(run, held[ward]!);
      });
      for (let step = 0; step < Math.floor(Math.log2(size)); step++) {
        held = held.map((run, rank) => {
          if (peers[rank]!.proxy !== null) return run;
          const partner = peers[rank]!.partners[step]!;
          expect(peers[partner]!.partners[step]).toBe(rank);
          expect(partner < rank).toBe(held[partner]![0]! < run[0]!);
          return join(run, held[partner]!);
        });
      }
      held.forEach((run, rank) => {
        if (peers[rank]!.proxy === null) expect(run).toEqual(ranksOf(size));
        else expect(peers[rank]!.partners).toEqual([]);
      });
    }
  });
});

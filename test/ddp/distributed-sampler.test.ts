import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DistributedSampler, type DistributedSamplerOptions } from "../../src/ddp/index.ts";
import { evenShare } from "../../src/node/index.ts";

const sizes = fc.record({ count: fc.nat(200), worldSize: fc.integer({ min: 1, max: 9 }), seed: fc.nat() });

/** The samples of each rank in an epoch. */
function epochOf(options: Omit<DistributedSamplerOptions, "rank">, epoch = 0): number[][] {
  return Array.from({ length: options.worldSize }, (_, rank) => {
    const sampler = new DistributedSampler({ ...options, rank });
    sampler.setEpoch(epoch);
    const own = [...sampler];
    expect(own).toHaveLength(sampler.length);
    return own;
  });
}

describe("DistributedSampler", () => {
  it("gives every rank as many samples, and all ranks together every one, at most twice", () => {
    fc.assert(
      fc.property(sizes, fc.boolean(), (options, shuffle) => {
        const ranks = epochOf({ ...options, shuffle });
        expect(new Set(ranks.map(({ length }) => length)).size).toBe(1);
        const all = ranks.flat().sort((a, b) => a - b);
        expect([...new Set(all)]).toEqual(Array.from({ length: options.count }, (_, i) => i));
        expect(all.length - options.count).toBeLessThan(options.worldSize);
      }),
    );
  });

  it("leaves out less than one for each rank with dropLast, and none twice", () => {
    fc.assert(
      fc.property(sizes, (options) => {
        const all = epochOf({ ...options, dropLast: true }).flat();
        expect(new Set(all).size).toBe(all.length);
        expect(options.count - all.length).toBeLessThan(options.worldSize);
        expect(all.length % options.worldSize).toBe(0);
      }),
    );
  });

  it("goes in order without shuffle, rank after rank, as PyTorch's does", () => {
    // list(DistributedSampler(range(5), num_replicas=3, rank=r, shuffle=False)) of PyTorch 2.15.
    expect(epochOf({ count: 5, worldSize: 3, shuffle: false })).toEqual([
      [0, 3],
      [1, 4],
      [2, 0],
    ]);
    expect(epochOf({ count: 1, worldSize: 3, shuffle: false })).toEqual([[0], [0], [0]]);
    expect(epochOf({ count: 0, worldSize: 2 })).toEqual([[], []]);
  });

  it("has an order for each seed and epoch, the same whenever it is asked", () => {
    const options = { count: 50, worldSize: 2, seed: 3 };
    expect(epochOf(options, 1)).toEqual(epochOf(options, 1));
    const orders = [epochOf(options), epochOf(options, 1), epochOf({ ...options, seed: 4 })].map((ranks) =>
      ranks.join(),
    );
    expect(new Set(orders).size).toBe(3);
  });

  it.each<[RegExp, unknown]>([
    [/unknown option numReplicas/, { count: 1, rank: 0, numReplicas: 1 }],
    [/unknown option droplast; did you mean dropLast\?/, { count: 1, rank: 0, worldSize: 1, droplast: true }],
    [/there is no rank 2 among 2 ranks/, { count: 1, rank: 2, worldSize: 2 }],
    [/count must be a whole number from 0 on, got 1.5/, { count: 1.5, rank: 0, worldSize: 2 }],
    [/rank must be a whole number from 0 on, got undefined/, { count: 1, worldSize: 2 }],
    [/count must be below 2\^32, got 1099511627776/, { count: 2 ** 40, rank: 0, worldSize: 2 }],
    [/seed must be a whole number from 0 to 4294967295, got -1/, { count: 1, rank: 0, worldSize: 2, seed: -1 }],
    [/seed must be .*, got 4294967296/, { count: 1, rank: 0, worldSize: 2, seed: 2 ** 32 }],
    [/seed must be .*, got 0.5/, { count: 1, rank: 0, worldSize: 2, seed: 0.5 }],
    [/shuffle must be true or false, got 1/, { count: 1, rank: 0, worldSize: 2, shuffle: 1 }],
    [/dropLast must be true or false, got no/, { count: 1, rank: 0, worldSize: 2, dropLast: "no" }],
  ])("says %s", (says, options) => {
    expect(() => new DistributedSampler(options as DistributedSamplerOptions)).toThrow(says);
  });

  it("refuses an epoch that is none", () => {
    const sampler = new DistributedSampler({ count: 1, rank: 0, worldSize: 1 });
    expect(() => sampler.setEpoch(-1)).toThrow(/epoch must be a whole number from 0 on, got -1/);
  });
});

describe("evenShare()", () => {
  it("cuts every count into parts that follow each other and differ by at most one", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 40), fc.integer({ min: 1, max: 100 }), (count, size) => {
        let at = 0;
        const lengths = Array.from({ length: size }, (_, rank) => {
          const share = evenShare(count, rank, size);
          expect(share.start).toBe(at);
          at += share.count;
          return share.count;
        });
        expect(at).toBe(count);
        expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1);
        expect(lengths).toEqual([...lengths].sort((a, b) => b - a));
      }),
    );
  });

  it.each<[RegExp, [number, number, number]]>([
    [/evenShare: rank 2 of 2 has no share of 4/, [4, 2, 2]],
    [/rank 0 of 0 has no share of 4/, [4, 0, 0]],
    [/rank 0 of 2 has no share of -1/, [-1, 0, 2]],
    [/rank 0 of NaN has no share of 1/, [1, 0, Number.NaN]],
    [/rank 0.5 of 2 has no share of 1/, [1, 0.5, 2]],
  ])("says %s", (says, args) => {
    expect(() => evenShare(...args)).toThrow(says);
  });
});

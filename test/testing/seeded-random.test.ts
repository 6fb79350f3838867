import { describe, expect, it } from "vitest";
import { SeededRandom } from "../../src/testing/index.ts";

describe("SeededRandom", () => {
  it("depends on the seed and the labels alone", () => {
    const first = (...from: ConstructorParameters<typeof SeededRandom>) => new SeededRandom(...from).u32();
    expect(first(1, "a")).toBe(first(1, "a"));
    expect(new Set([first(1, "a"), first(2, "a"), first(1, "b"), first(1, "a", 1), first(1)]).size).toBe(5);
  });

  it("fills an array with what single draws give, and goes on from there", () => {
    const [one, other] = [new SeededRandom(7), new SeededRandom(7)];
    const words = new Uint32Array(100);
    one.fill(words);
    expect(Array.from(words)).toEqual(Array.from(words, () => other.u32()));
    expect(one.u32()).toBe(other.u32());
  });

  it("draws every number below a limit about as often as any other", () => {
    const random = new SeededRandom(3);
    const seen = new Array<number>(7).fill(0);
    for (let draw = 0; draw < 70_000; draw++) seen[random.below(7)]! += 1;
    for (const times of seen) expect(Math.abs(times - 10_000)).toBeLessThan(500);
  });

  it("shuffles without loss", () => {
    const list = Array.from({ length: 50 }, (_, index) => index);
    const shuffled = new SeededRandom(5).shuffle(list);
    expect(shuffled).not.toEqual(list);
    expect(shuffled.sort((a, b) => a - b)).toEqual(list);
  });
});

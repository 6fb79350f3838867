/** Who keeps the others waiting: found by few questions, and told when it has changed. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { MissingRanks } from "../../src/bring-up/meeting/missing-ranks.ts";
import { TimeoutError } from "../../src/errors.ts";
import { HashStore } from "../../src/index.ts";

/** Counts the questions. */
class CountingStore extends HashStore {
  checks = 0;

  override check(keys: readonly string[]): Promise<boolean> {
    this.checks++;
    return super.check(keys);
  }
}

it("names those that are missing, whoever has come in the meantime", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 40 }), async (looks) => {
      const store = new CountingStore();
      const keys = looks.map((_, rank) => `roster/${rank}`);
      const told: string[] = [];
      const logger = { error() {}, warn() {}, debug() {}, info: (text: string) => void told.push(text) };
      const missing = new MissingRanks(store, keys);
      // `looks` has the look before which each rank comes; of 3 it comes too late.
      for (let look = 0; look < 3; look++) {
        for (const [rank, at] of looks.entries()) if (at === look) await store.set(keys[rank]!, "here");
        await missing.look(logger);
      }
      const late = [...looks.keys()].filter((rank) => looks[rank] === 3);
      const error = missing.error(0, 5_000, new TimeoutError("the store's"));
      expect(error.missingRanks).toEqual(late);
      expect(error.message).toContain(`${keys.length - late.length} of ${keys.length} ranks are here`);
      expect(new Set(told).size).toBe(told.length);
      expect(told.at(-1)).toBe(error.message.replace("rank 0: after 5000 ms ", ""));
    }),
  );
});

it("asks little where few of 1,000 are missing", async () => {
  const store = new CountingStore();
  const keys = Array.from({ length: 1_000 }, (_, rank) => `roster/${rank}`);
  for (const [rank, key] of keys.entries()) if (![0, 500, 999].includes(rank)) await store.set(key, "here");
  const missing = new MissingRanks(store, keys);
  await missing.look({ error() {}, warn() {}, debug() {}, info() {} });
  expect(missing.error(1, 1, new TimeoutError("")).missingRanks).toEqual([0, 500, 999]);
  expect(store.checks).toBeLessThan(80);
});

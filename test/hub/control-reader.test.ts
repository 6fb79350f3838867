/** Long calls of several members share the memory in which a hub reads them: nothing of one may show in another. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { HubStore } from "../../src/store/hub-store.ts";
import { joinConnection, openHub } from "./support.ts";

const CALLS = ["set", "append", "queuePush", "compareSet", "compareSetOfNothing", "multiSet"] as const;

const draw = fc.record({
  call: fc.constantFrom(...CALLS),
  member: fc.nat(2),
  /** Of one read, of several, and longer than the memory that is used again is at first. */
  length: fc.oneof(
    fc.nat(300),
    fc.integer({ min: 60_000, max: 140_000 }),
    fc.integer({ min: 300_000, max: 1_500_000 }),
  ),
  fill: fc.integer({ min: 1, max: 255 }),
});

it("a hub keeps what each of three members said, whatever the others say next", { timeout: 60_000 }, async () => {
  const hub = await openHub({ quotas: { storeBytes: Number.POSITIVE_INFINITY } });
  let groups = 0;
  const property = fc.asyncProperty(
    fc.array(draw, { minLength: 2, maxLength: 12 }),
    fc.boolean(),
    async (draws, withSums) => {
      const names = [0, 1, 2].map((member) => `group ${groups++} ${member}`);
      const joined = await Promise.all(names.map((group) => joinConnection(hub, { group, checksums: withSums })));
      const stores = joined.map(({ connection }) => new HubStore(connection));
      // All at once: each hub read finds parts of several.
      const checks = draws.map(async ({ call, member, length, fill }, i) => {
        const store = stores[member]!;
        const value = new Uint8Array(length).fill(fill);
        const same = (bytes: Uint8Array) => expect(Buffer.from(bytes).equals(value)).toBe(true);
        const key = `key ${i}`;
        if (call === "set") await store.set(key, value);
        if (call === "append") await store.append(key, value);
        if (call === "multiSet") await store.multiSet([key, `${key} too`], [value, value.subarray(1)]);
        if (call === "compareSet") same(await store.compareSet(key, "", value));
        if (call === "compareSetOfNothing") same(await store.compareSet(key, value, length === 0 ? value : "other"));
        if (call === "queuePush") await store.queuePush(key, value);
        return async () => {
          if (call === "queuePush") same(await store.queuePop(key));
          else if (call !== "compareSetOfNothing") same(await store.get(key));
        };
      });
      for (const check of await Promise.all(checks)) await check();
      for (const { connection } of joined) connection.close();
    },
  );
  await fc.assert(property, { numRuns: 25 });
});

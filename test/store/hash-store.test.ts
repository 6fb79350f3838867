import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HashStore } from "../../src/store/hash-store.ts";
import { SpaceStore } from "../../src/store/space-store.ts";
import type { Store } from "../../src/store/store.ts";

/** A call of a store, which ends at once. */
type Call = (store: Store) => Promise<unknown>;

const key = fc.constantFrom("a", "b");
const value = fc.constantFrom("", "1", "2", "x");

const call: fc.Arbitrary<Call> = fc.oneof(
  fc.tuple(key, value).map(
    ([k, v]): Call =>
      (store) =>
        store.set(k, v),
  ),
  fc.tuple(key, value).map(
    ([k, v]): Call =>
      (store) =>
        store.append(k, v),
  ),
  fc.tuple(key, value, value).map(
    ([k, v, w]): Call =>
      (store) =>
        store.compareSet(k, v, w),
  ),
  fc.tuple(key, fc.integer({ min: -3, max: 3 })).map(
    ([k, n]): Call =>
      (store) =>
        store.add(k, n),
  ),
  key.map(
    (k): Call =>
      (store) =>
        store.check([k]),
  ),
  key.map(
    (k): Call =>
      (store) =>
        store.deleteKey(k),
  ),
  fc.tuple(value, value).map(
    ([v, w]): Call =>
      (store) =>
        store.multiSet(["a", "b"], [v, w]),
  ),
  fc.tuple(key, value).map(
    ([k, v]): Call =>
      (store) =>
        store.queuePush(k, v),
  ),
  key.map(
    (k): Call =>
      (store) =>
        store.queuePop(k, { block: false }),
  ),
  key.map(
    (k): Call =>
      (store) =>
        store.queueLen(k),
  ),
  fc.constant<Call>((store) => store.numKeys()),
  fc.constant<Call>((store) => store.close()),
);

/** How each call ended. */
const ends = (outcomes: PromiseSettledResult<unknown>[]) =>
  outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value : String(outcome.reason)));

describe("HashStore", () => {
  it("runs calls in the order in which they were made, also those made before its code has come", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(call, fc.nat({ max: 4 })), { maxLength: 30 }), async (calls) => {
        const whole = new SpaceStore();
        const expected: PromiseSettledResult<unknown>[] = [];
        for (const [make] of calls) expected.push(...(await Promise.allSettled([make(whole)])));
        const store = new HashStore();
        const made: Promise<unknown>[] = [];
        for (const [make, turns] of calls) {
          const end = make(store);
          end.catch(() => {});
          made.push(end);
          // Some calls are made while the code comes, and some just as it has come.
          for (let turn = 0; turn < turns; turn++) await null;
        }
        expect(ends(await Promise.allSettled(made))).toEqual(ends(expected));
      }),
      { numRuns: 200 },
    );
  });

  it("takes arguments as they are when the call is made", async () => {
    const store = new HashStore();
    const bytes = Uint8Array.of(1);
    const keys = ["a", "b"];
    const values = [bytes, Uint8Array.of(2)];
    const calls = [store.multiSet(keys, values), store.set("c", bytes), store.append("c", bytes)];
    const [pushed, has] = [store.queuePush("q", bytes), store.check(keys)];
    const [gotten, awaited] = [store.multiGet(keys), store.wait(keys, 0)];
    bytes[0] = 9;
    values.reverse();
    keys.push("never set");
    await Promise.all([...calls, pushed, awaited]);
    expect(await has).toBe(true);
    expect(await gotten).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
    expect(await store.get("c")).toEqual(Uint8Array.of(1, 1));
    expect(await store.queuePop("q")).toEqual(Uint8Array.of(1));
  });

  it("waits as long as its timeoutMs says, and ends what waits when it is closed", async () => {
    const store = new HashStore();
    store.timeoutMs = 0;
    const waits = () => [store.get("a"), store.wait(["a"]), store.multiGet(["a"]), store.queuePop("a")];
    const short = await Promise.allSettled(waits());
    store.timeoutMs = Number.POSITIVE_INFINITY;
    const long = Promise.allSettled(waits());
    const closed = store.close();
    for (const end of short) expect(end).toMatchObject({ status: "rejected", reason: { name: "TimeoutError" } });
    for (const end of await long) expect(end).toMatchObject({ status: "rejected", reason: { name: "StoreError" } });
    await closed;
    await expect(store.set("a", "1")).rejects.toThrow("the store is closed");
  });
});

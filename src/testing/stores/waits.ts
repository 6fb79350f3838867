/** What every store does for those who wait, and for several clients at once. */
import type { Store } from "../../store/store.ts";
import { expectEqual, expectError, type StoreCase, storeCase, textOf } from "./checks.ts";

/** Each write, by which a waiter for "key" must be woken. */
const WRITES: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
  set: (store) => store.set("key", "1"),
  compareSet: (store) => store.compareSet("key", "", "1"),
  add: (store) => store.add("key", 1),
  append: (store) => store.append("key", "1"),
  multiSet: (store) => store.multiSet(["key"], ["1"]),
};

export const WAIT_CASES: readonly StoreCase[] = [
  storeCase("get() waits for the key", async ({ store, other }) => {
    const value = store.get("late");
    await other.set("late", "here");
    expectEqual(textOf(await value), "here", "get");
  }),

  storeCase("get() rejects with TimeoutError naming the key", async ({ store }) => {
    store.timeoutMs = 30;
    await expectError(store.get("absent-key"), "TimeoutError", "absent-key");
  }),

  storeCase("wait() resolves when the last key is there", async ({ store, other }) => {
    await other.set("a", "1");
    const waited = store.wait(["a", "b"]);
    await other.set("b", "2");
    await waited;
    await store.wait([]);
  }),

  storeCase("wait() rejects naming the missing keys and no others, and the store goes on", async ({ store }) => {
    await store.set("present", "1");
    for (let again = 0; again < 2; again++) {
      const error = await expectError(store.wait(["present", "gone-1", "gone-2"], 30), "TimeoutError", "gone-1");
      expectEqual([error.message.includes("gone-2"), error.message.includes("present")], [true, false], error.message);
      await store.set("present", "2");
      expectEqual(textOf(await store.get("present")), "2", "get");
    }
  }),

  ...Object.entries(WRITES).map(([name, write]) =>
    storeCase(`${name}() wakes those who wait`, async ({ store, other }) => {
      const waited = Promise.all([store.wait(["key"]), other.wait(["key"])]);
      await write(other);
      await waited;
      expectEqual(textOf(await store.get("key")), "1", "get");
    }),
  ),

  storeCase("multiGet() waits for each key", async ({ store, other }) => {
    await other.set("a", "1");
    const values = store.multiGet(["b", "a", "c"]);
    await other.multiSet(["c", "b"], ["3", "2"]);
    expectEqual((await values).map(textOf), ["2", "1", "3"], "multiGet");
  }),

  storeCase(
    "wait() and queuePop() refuse what is no duration, look once at 0, wait for good at Infinity",
    async (under) => {
      const { store, other } = under;
      const calls = [
        (timeoutMs: number) => store.wait(["key"], timeoutMs),
        (timeoutMs: number) => store.queuePop("queue", { timeoutMs }),
      ];
      for (const call of calls) {
        for (const timeoutMs of [-1, Number.NaN]) await expectError(call(timeoutMs), "RangeError");
        await expectError(call(0), "TimeoutError");
      }
      const waiting = [Number.POSITIVE_INFINITY, 2 ** 31].flatMap((timeoutMs) => calls.map((call) => call(timeoutMs)));
      await expectError(store.wait(["never"], 10), "TimeoutError");
      await Promise.all([other.set("key", "1"), other.queuePush("queue", "1"), other.queuePush("queue", "2")]);
      await Promise.all(waiting);
      await store.queuePush("queue", "3");
      for (const call of calls) await call(0);
    },
  ),

  storeCase("timeoutMs refuses what is no duration", async ({ store }) => {
    for (const timeoutMs of [-1, Number.NaN]) {
      const assign = async () => {
        store.timeoutMs = timeoutMs;
      };
      await expectError(assign(), "RangeError");
    }
  }),
];

export const QUEUE_CASES: readonly StoreCase[] = [
  storeCase("queuePop() gives what queuePush() put in, first in first out", async ({ store, other }) => {
    await store.queuePush("queue", "1");
    await store.queuePush("queue", "");
    expectEqual(await other.queueLen("queue"), 2, "queueLen");
    expectEqual(textOf(await other.queuePop("queue")), "1", "the first");
    expectEqual(textOf(await store.queuePop("queue", { block: false })), "", "the second");
    expectEqual(await store.queueLen("queue"), 0, "queueLen");
    expectEqual(await store.queueLen("none"), 0, "queueLen of no queue");
  }),

  storeCase("queuePop() waits, and hands each value to one caller", async ({ store, other }) => {
    const popped = Promise.all([store.queuePop("queue"), other.queuePop("queue"), store.queuePop("queue")]);
    for (const value of ["x", "y", "z"]) await other.queuePush("queue", value);
    expectEqual((await popped).map(textOf).toSorted(), ["x", "y", "z"], "queuePop");
  }),

  storeCase(
    "queuePop() of an empty queue rejects: at once without block, else after the timeout",
    async ({ store }) => {
      store.timeoutMs = 30;
      await expectError(store.queuePop("queue", { block: false }), "StoreError", "queue");
      await expectError(store.queuePop("queue"), "TimeoutError", "queue");
      store.timeoutMs = 30_000;
      await expectError(store.queuePop("queue", { timeoutMs: 20 }), "TimeoutError");
    },
  ),

  storeCase("queuePop() refuses what is no option of it, and takes nothing", async ({ store }) => {
    await store.queuePush("queue", "1");
    for (const options of [{ blocks: false }, false, null]) {
      await expectError(store.queuePop("queue", options as object), "TypeError", "queuePop");
    }
    expectEqual(await store.queueLen("queue"), 1, "queueLen");
  }),
];

export const DELETE_CASES: readonly StoreCase[] = [
  storeCase("deleteKey() tells whether the key was there", async ({ store, other }) => {
    await store.set("key", "1");
    expectEqual(await other.deleteKey("key"), true, "the first time");
    expectEqual(await other.deleteKey("key"), false, "the second time");
    expectEqual(await store.check(["key"]), false, "check");
    expectEqual(await store.add("key", 2), 2, "a counter begins anew");
  }),

  storeCase("a key that is deleted under a waiter is waited for again", async ({ store, other }) => {
    await other.set("a", "1");
    let isOver = false;
    const waited = store.wait(["a", "b"]).then(() => {
      isOver = true;
    });
    await other.deleteKey("a");
    await other.set("b", "2");
    for (let look = 0; look < 20; look++) await store.check(["a", "b"]);
    expectEqual(isOver, false, "the wait is over although a key is missing");
    await other.set("a", "3");
    await waited;
  }),
];

export const CONCURRENT_CASES: readonly StoreCase[] = [
  storeCase("add() loses nothing between two clients", async ({ store, other }) => {
    const results = await Promise.all(Array.from({ length: 40 }, (_, i) => (i % 2 ? store : other).add("counter", 1)));
    expectEqual(
      results.toSorted((a, b) => a - b),
      Array.from({ length: 40 }, (_, i) => i + 1),
      "the sums",
    );
  }),

  storeCase("compareSet() has one winner", async ({ store, other }) => {
    const own = Array.from({ length: 16 }, (_, i) => `writer ${i}`);
    const seen = await Promise.all(own.map((value, i) => (i % 2 ? store : other).compareSet("lock", "", value)));
    const winner = textOf(await store.get("lock"));
    expectEqual(own.includes(winner), true, "a writer won");
    expectEqual(new Set(seen.map(textOf)).size, 1, "what the writers were told");
  }),

  storeCase("append() concatenates pieces of several clients", async ({ store, other }) => {
    await Promise.all(Array.from({ length: 12 }, (_, i) => (i % 2 ? store : other).append("log", "ab")));
    // What a client appended is there for itself at once, for others when it has come.
    await Promise.all([store, other].map((client) => client.add("appended", 1)));
    expectEqual(textOf(await store.get("log")), "ab".repeat(12), "get");
  }),

  storeCase("many writers and waiters: every wait ends, every counter is exact", async ({ store, other }) => {
    const clients = [store, other];
    const keys = Array.from({ length: 24 }, (_, i) => `key ${i}`);
    const waits = keys.map((key, i) => clients[i % 2]!.wait(keys.filter((_, j) => j >= i).concat(key)));
    const values = keys.map((key, i) => clients[(i + 1) % 2]!.get(key));
    const writes = keys.map(async (key, i) => {
      await clients[i % 2]!.add("written", 1);
      await clients[i % 2]!.set(key, key);
    });
    await Promise.all(writes);
    await Promise.all(waits);
    expectEqual((await Promise.all(values)).map(textOf), keys, "get");
    expectEqual(await other.add("written", 0), keys.length, "the counter");
  }),
];

export const CLOSE_CASE: StoreCase = storeCase(
  "close() rejects what is pending and what comes later",
  async (under) => {
    const { store } = under;
    const pending = expectError(store.get("never"), "StoreError");
    await store.check(["never"]);
    await store.close();
    await pending;
    await expectError(store.set("key", "1"), "StoreError");
    await store.close();
  },
);

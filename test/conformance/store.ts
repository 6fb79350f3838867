/** What every store does, each its own way. */
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { StoreError, TimeoutError, UnsupportedError } from "../../src/errors.ts";
import type { Store } from "../../src/store/store.ts";

export interface StoreUnderTest {
  store: Store;
  /** A second client of the same keys; the same object where there is only one. */
  other: Store;
  dispose(): Promise<void>;
}

/** What a store is known not to do. */
export interface StoreLimits {
  /** deleteKey throws UnsupportedError. */
  cannotDelete?: boolean;
}

const text = (bytes: Uint8Array) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

export function storeConformance(name: string, make: () => Promise<StoreUnderTest>, limits: StoreLimits = {}): void {
  describe(name, () => {
    let current: StoreUnderTest | null = null;
    const open = async () => {
      current = await make();
      return current;
    };
    afterEach(async () => {
      await current?.dispose();
      current = null;
    });

    it("set() overwrites, and get() gives the bytes", async () => {
      const { store, other } = await open();
      await store.set("key", "first");
      await store.set("key", new Uint8Array([0, 255, 10]));
      expect([...(await other.get("key"))]).toEqual([0, 255, 10]);
    });

    it("set() takes strings as UTF-8, empty values and odd keys", async () => {
      const { store, other } = await open();
      await store.set("empty", "");
      await store.set("snow/☃ __proto__", "héllo");
      await store.set("__proto__", "a key like any other");
      expect((await other.get("empty")).length).toBe(0);
      expect(text(await other.get("snow/☃ __proto__"))).toBe("héllo");
      expect(text(await other.get("__proto__"))).toBe("a key like any other");
    });

    it("keeps keys apart, and values, that begin with U+FEFF, short and long", async () => {
      const { store, other } = await open();
      const keys = ["\ufeffkey", "key", "\ufeff\ufeffkey", `\ufeff${"k".repeat(100)}`, "k".repeat(100), "\ufeff"];
      await store.multiSet(
        keys,
        keys.map((key) => `\ufeff${key}`),
      );
      const encoder = new TextEncoder();
      expect(await other.multiGet(keys)).toEqual(keys.map((key) => encoder.encode(`\ufeff${key}`)));
      expect(await other.numKeys()).toBe(keys.length);
      await expect(store.set("alone", "\ud800")).rejects.toThrow(/has no UTF-8/);
      await store.set("counter", "\ufeff1");
      await expect(other.add("counter", 1)).rejects.toThrow(/does not hold a counter/);
    });

    it("get() is not changed by what the caller does to its arrays", async () => {
      const { store } = await open();
      const value = new Uint8Array([1, 2, 3]);
      await store.set("key", value);
      value.fill(9);
      (await store.get("key")).fill(8);
      expect([...(await store.get("key"))]).toEqual([1, 2, 3]);
    });

    it("get() waits for the key", async () => {
      const { store, other } = await open();
      const value = store.get("late");
      await other.set("late", "here");
      expect(text(await value)).toBe("here");
    });

    it("get() rejects with TimeoutError naming the key", async () => {
      const { store } = await open();
      store.timeoutMs = 30;
      await expect(store.get("absent-key")).rejects.toThrow(TimeoutError);
      await expect(store.get("absent-key")).rejects.toThrow(/absent-key/);
    });

    it("wait() resolves when the last key is there", async () => {
      const { store, other } = await open();
      await other.set("a", "1");
      const waited = store.wait(["a", "b"]).then(() => "waited");
      await other.set("b", "2");
      expect(await waited).toBe("waited");
    });

    it("wait() rejects naming the missing keys and no others", async () => {
      const { store } = await open();
      await store.set("present", "1");
      const failure = store.wait(["present", "gone-1", "gone-2"], 30);
      await expect(failure).rejects.toThrow(TimeoutError);
      await expect(failure).rejects.toThrow(/gone-1.*gone-2/);
      await expect(failure).rejects.not.toThrow(/present"/);
    });

    it.each(["set", "compareSet", "add", "append", "multiSet"] as const)("%s() wakes those who wait", async (write) => {
      const { store, other } = await open();
      const waited = store.wait(["key"]);
      if (write === "set") await other.set("key", "1");
      if (write === "compareSet") await other.compareSet("key", "", "1");
      if (write === "add") await other.add("key", 1);
      if (write === "append") await other.append("key", "1");
      if (write === "multiSet") await other.multiSet(["key"], ["1"]);
      await waited;
      expect(text(await store.get("key"))).toBe("1");
    });

    it("check() answers at once whether all keys are there", async () => {
      const { store, other } = await open();
      await store.multiSet(["a", "b"], ["1", "2"]);
      expect(await other.check(["a", "b"])).toBe(true);
      expect(await other.check(["a", "c"])).toBe(false);
      expect(await other.check([])).toBe(true);
    });

    it("compareSet() follows c10d in all five cases", async () => {
      const { store, other } = await open();
      expect(text(await store.compareSet("key", "expected", "desired"))).toBe("expected");
      expect(await store.check(["key"])).toBe(false);
      expect(text(await store.compareSet("key", "", "first"))).toBe("first");
      expect(text(await other.compareSet("key", "first", "second"))).toBe("second");
      expect(text(await other.compareSet("key", "wrong", "third"))).toBe("second");
      expect(text(await other.compareSet("key", "", "third"))).toBe("second");
      expect(text(await store.get("key"))).toBe("second");
    });

    it("add() counts, from zero, in decimal text", async () => {
      const { store, other } = await open();
      expect(await store.add("counter", 5)).toBe(5);
      expect(await other.add("counter", -7)).toBe(-2);
      expect(text(await store.get("counter"))).toBe("-2");
      await store.set("counter", "40");
      expect(await store.add("counter", 2)).toBe(42);
    });

    it("add() loses nothing between two clients", async () => {
      const { store, other } = await open();
      const results = await Promise.all(
        Array.from({ length: 40 }, (_, i) => (i % 2 ? store : other).add("counter", 1)),
      );
      expect(results.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    });

    it("add() counts as a BigInt does, in 64 bits, and never rounds", async () => {
      const { store, other } = await open();
      const int64 = fc.oneof(
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        fc.bigInt({ min: -16n, max: 16n }).map((near) => 2n ** 53n + near),
        fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, -(2n ** 53n), 0n),
      );
      const number = fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -3, max: 3 }));
      const property = fc.asyncProperty(
        int64,
        fc.array(fc.oneof(int64, number), { maxLength: 5 }),
        async (from, steps) => {
          await store.set("counter", String(from));
          let counter = from;
          for (const [i, step] of steps.entries()) {
            const sum = counter + BigInt(step);
            const fits =
              BigInt.asIntN(64, sum) === sum && (typeof step === "bigint" || Number.isSafeInteger(Number(sum)));
            const added = (i % 2 ? store : other).add("counter", step);
            if (fits) {
              counter = sum;
              expect(await added).toBe(typeof step === "bigint" ? sum : Number(sum));
            } else await expect(added).rejects.toThrow(StoreError);
            expect(text(await store.get("counter"))).toBe(String(counter));
          }
        },
      );
      await fc.assert(property, { numRuns: 40 });
    });

    it("add() says how a sum past 2^53 is had, and that one past 64 bits is none", async () => {
      const { store } = await open();
      await store.set("counter", "9007199254740993");
      await expect(store.add("counter", 5)).rejects.toThrow(/counter.*9007199254740998.*pass a bigint/);
      expect(await store.add("counter", -1n)).toBe(9007199254740992n);
      expect(await store.add("counter", -1)).toBe(9007199254740991);
      await store.set("counter", "9223372036854775807");
      await expect(store.add("counter", 1n)).rejects.toThrow(/counter.*64 bits/);
      expect(await store.add("counter", 0n)).toBe(9223372036854775807n);
    });

    it("add() refuses an amount that is no 64-bit integer, and adds nothing", async () => {
      const { store } = await open();
      for (const amount of [1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 2n ** 63n, -(2n ** 63n) - 1n]) {
        await expect(store.add("counter", amount), String(amount)).rejects.toThrow(RangeError);
      }
      await expect(store.add("counter", "1" as never)).rejects.toThrow(TypeError);
      expect(await store.check(["counter"])).toBe(false);
    });

    it("add() refuses a text that is no 64-bit integer, names the key, and leaves the text", async () => {
      const { store } = await open();
      const texts = [
        "not a number",
        "",
        " 1",
        "1 ",
        "1.0",
        "0x1",
        "+1",
        "--1",
        "\ufeff1",
        "9223372036854775808",
        "1".repeat(99),
      ];
      for (const value of texts) {
        await store.set("some/key", value);
        for (const amount of [1, 1n]) {
          const added = store.add("some/key", amount);
          await expect(added, value).rejects.toThrow(StoreError);
          await expect(added).rejects.toThrow(/some\/key/);
        }
        expect(text(await store.get("some/key"))).toBe(value);
      }
    });

    if (limits.cannotDelete) {
      it("deleteKey() throws UnsupportedError", async () => {
        const { store } = await open();
        await expect(store.deleteKey("key")).rejects.toThrow(UnsupportedError);
      });
    } else {
      it("deleteKey() tells whether the key was there", async () => {
        const { store, other } = await open();
        await store.set("key", "1");
        expect(await other.deleteKey("key")).toBe(true);
        expect(await other.deleteKey("key")).toBe(false);
        expect(await store.check(["key"])).toBe(false);
      });
    }

    it("numKeys() counts the keys", async () => {
      const { store, other } = await open();
      const before = await store.numKeys();
      await store.multiSet(["a", "b", "a"], ["1", "2", "3"]);
      expect((await other.numKeys()) - before).toBe(2);
    });

    it("append() concatenates, also from two clients and of equal pieces", async () => {
      const { store, other } = await open();
      await Promise.all(Array.from({ length: 12 }, (_, i) => (i % 2 ? store : other).append("log", "ab")));
      expect(text(await store.get("log"))).toBe("ab".repeat(12));
    });

    it("multiGet() gives the values in order and waits for each", async () => {
      const { store, other } = await open();
      await other.multiSet(["a", "b"], ["1", "2"]);
      const values = store.multiGet(["b", "a", "c"]);
      await other.set("c", "3");
      expect((await values).map(text)).toEqual(["2", "1", "3"]);
    });

    it("multiSet() refuses lists of different lengths", async () => {
      const { store } = await open();
      await expect(store.multiSet(["a", "b"], ["1"])).rejects.toThrow(RangeError);
    });

    it("queuePop() gives what queuePush() put in, first in first out", async () => {
      const { store, other } = await open();
      await store.queuePush("queue", "1");
      await store.queuePush("queue", "2");
      expect(await other.queueLen("queue")).toBe(2);
      expect(text(await other.queuePop("queue"))).toBe("1");
      expect(text(await store.queuePop("queue", { block: false }))).toBe("2");
      expect(await store.queueLen("queue")).toBe(0);
    });

    it("queuePop() waits, and hands each value to one caller", async () => {
      const { store, other } = await open();
      const popped = Promise.all([store.queuePop("queue"), other.queuePop("queue"), store.queuePop("queue")]);
      for (const value of ["x", "y", "z"]) await other.queuePush("queue", value);
      expect((await popped).map(text).toSorted()).toEqual(["x", "y", "z"]);
    });

    it("queuePop() of an empty queue rejects: at once without block, else after the timeout", async () => {
      const { store } = await open();
      store.timeoutMs = 30;
      await expect(store.queuePop("queue", { block: false })).rejects.toThrow(StoreError);
      await expect(store.queuePop("queue")).rejects.toThrow(TimeoutError);
      store.timeoutMs = 30_000;
      await expect(store.queuePop("queue", { timeoutMs: 20 })).rejects.toThrow(TimeoutError);
    });

    it("queuePop() refuses what is no option of it, and names it", async () => {
      const { store } = await open();
      await store.queuePush("queue", "1");
      for (const options of [{ blocks: false }, false, null]) {
        await expect(store.queuePop("queue", options as never)).rejects.toThrow(
          /queuePop: (unknown option blocks|options)/,
        );
      }
      expect(await store.queueLen("queue")).toBe(1);
    });

    it("wait() and queuePop() refuse what is no duration, wait for good at Infinity, and look once at 0", async () => {
      const { store, other } = await open();
      const calls = [
        (timeoutMs: number) => store.wait(["key"], timeoutMs),
        (timeoutMs: number) => store.queuePop("key", { timeoutMs }),
      ];
      for (const call of calls) {
        for (const timeoutMs of [-1, Number.NaN]) await expect(call(timeoutMs)).rejects.toThrow(RangeError);
        await expect(call(0)).rejects.toThrow(TimeoutError);
      }
      const waiting = [Number.POSITIVE_INFINITY, 2 ** 31].flatMap((timeoutMs) => calls.map((call) => call(timeoutMs)));
      await expect(store.wait(["never"], 10)).rejects.toThrow(TimeoutError);
      await Promise.all([other.set("key", "1"), other.queuePush("key", "1"), other.queuePush("key", "2")]);
      await Promise.all(waiting);
      await store.queuePush("key", "3");
      for (const call of calls) await call(0);
    });

    it("timeoutMs refuses what is no duration", async () => {
      const { store } = await open();
      expect(() => {
        store.timeoutMs = -1;
      }).toThrow(RangeError);
      expect(() => {
        store.timeoutMs = Number.NaN;
      }).toThrow(RangeError);
    });
  });
}

/** For stores that own what they wait on: a PrefixStore leaves closing to the store below. */
export function closeConformance(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(name, () => {
    it("close() rejects what is pending and what comes later", async () => {
      const { store, dispose } = await make();
      const pending = expect(store.get("never")).rejects.toThrow(StoreError);
      await store.close();
      await pending;
      await expect(store.set("key", "1")).rejects.toThrow(StoreError);
      await dispose();
    });
  });
}

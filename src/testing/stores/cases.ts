/** What every store does with one call at a time. */
import type { Store } from "../../store/store.ts";
import { SeededRandom } from "../../support/seeded-random.ts";
import { ConformanceError } from "../stage.ts";
import { expectEqual, expectError, type StoreCase, storeCase, textOf } from "./checks.ts";

const LARGEST = 2n ** 63n - 1n;
const SMALLEST = -(2n ** 63n);

/** Texts that no counter has. */
const NO_COUNTERS = [
  ...["not a number", "", " 1", "1 ", "1.0", "0x1", "+1", "--1", "\ufeff1", "9223372036854775808", "1".repeat(99)],
];

export const VALUE_CASES: readonly StoreCase[] = [
  storeCase("set() overwrites, and get() gives the bytes", async ({ store, other }) => {
    await store.set("key", "first");
    await store.set("key", new Uint8Array([0, 255, 10]));
    expectEqual(await other.get("key"), new Uint8Array([0, 255, 10]), "get");
  }),

  storeCase("set() takes strings as UTF-8, empty values, and keys of any text", async ({ store, other }) => {
    const keys = [
      ...["", "/", "a/b", "__proto__", "snow ☃", "line\nbreak", "nul\0", "\ufeffkey", "key", "\ufeff\ufeffkey"],
      ...["{tag}", "*", "%2F", "😀", " ", "constructor", "k".repeat(4_000), `\ufeff${"k".repeat(100)}`],
    ];
    const before = await store.numKeys();
    await store.multiSet(
      keys,
      keys.map((key) => `\ufeff${key}`),
    );
    for (const key of keys) expectEqual(textOf(await other.get(key)), `\ufeff${key}`, `get of ${JSON.stringify(key)}`);
    expectEqual((await other.numKeys()) - before, keys.length, "numKeys");
    await store.set("empty", "");
    expectEqual((await other.get("empty")).length, 0, "the length of an empty value");
  }),

  storeCase("set() refuses text that has no UTF-8", async ({ store }) => {
    await expectError(store.set("alone", "\ud800"), "TypeError", "has no UTF-8");
    expectEqual(await store.check(["alone"]), false, "check");
  }),

  storeCase("carries a value of 8 MiB", async ({ store, other }) => {
    const value = new Uint8Array(8 * 2 ** 20);
    new SeededRandom(1, "large value").fill(new Uint32Array(value.buffer));
    await store.set("large", value);
    const got = await other.get("large");
    const isSame = got.length === value.length && got.every((byte, i) => byte === value[i]);
    expectEqual(isSame, true, "8 MiB are the same");
  }),

  storeCase("is not changed by what the caller does to its arrays", async ({ store }) => {
    const value = new Uint8Array([1, 2, 3]);
    const writes = [
      ...[store.set("key", value), store.compareSet("compared", "", value), store.append("appended", value)],
      ...[store.multiSet(["several"], [value]), store.queuePush("queue", value)],
    ];
    // At once: a store takes its copy before it does anything else.
    value.fill(9);
    await Promise.all<unknown>(writes);
    for (const key of ["key", "compared", "appended", "several"]) {
      (await store.get(key)).fill(8);
      expectEqual(await store.get(key), new Uint8Array([1, 2, 3]), key);
    }
    expectEqual(await store.queuePop("queue"), new Uint8Array([1, 2, 3]), "queuePop");
  }),

  storeCase("check() answers at once whether all keys are there", async ({ store, other }) => {
    await store.multiSet(["a", "b"], ["1", "2"]);
    expectEqual(await other.check(["a", "b"]), true, "both");
    expectEqual(await other.check(["a", "c"]), false, "one of two");
    expectEqual(await other.check([]), true, "none asked");
  }),

  storeCase("compareSet() follows c10d in all five cases", async ({ store, other }) => {
    const compareSet = async (on: Store, expected: string, desired: string) =>
      textOf(await on.compareSet("key", expected, desired));
    expectEqual(await compareSet(store, "expected", "desired"), "expected", "absent, expected not empty");
    expectEqual(await store.check(["key"]), false, "nothing was written");
    expectEqual(await compareSet(store, "", "first"), "first", "absent, expected empty");
    expectEqual(await compareSet(other, "first", "second"), "second", "equal");
    expectEqual(await compareSet(other, "wrong", "third"), "second", "unequal");
    expectEqual(await compareSet(other, "", "third"), "second", "unequal, expected empty");
    expectEqual(textOf(await store.get("key")), "second", "get");
  }),

  storeCase("numKeys() counts the keys", async ({ store, other }) => {
    const before = await store.numKeys();
    await store.multiSet(["a", "b", "a"], ["1", "2", "3"]);
    expectEqual((await other.numKeys()) - before, 2, "numKeys");
  }),

  storeCase("append() creates, then concatenates", async ({ store, other }) => {
    await store.append("log", "a");
    await other.append("log", new Uint8Array([98, 99]));
    await store.append("log", "");
    expectEqual(textOf(await other.get("log")), "abc", "get");
  }),

  storeCase("multiGet() gives the values in order", async ({ store, other }) => {
    await other.multiSet(["a", "b"], ["1", "2"]);
    expectEqual((await store.multiGet(["b", "a", "b"])).map(textOf), ["2", "1", "2"], "multiGet");
    expectEqual(await store.multiGet([]), [], "multiGet of nothing");
  }),

  storeCase("multiSet() refuses lists of different lengths", async ({ store }) => {
    await expectError(store.multiSet(["a", "b"], ["1"]), "RangeError");
    expectEqual(await store.check(["a"]), false, "nothing was written");
  }),
];

export const COUNTER_CASES: readonly StoreCase[] = [
  storeCase("add() counts, from zero, in decimal text", async ({ store, other }) => {
    expectEqual(await store.add("counter", 5), 5, "add");
    expectEqual(await other.add("counter", -7), -2, "add");
    expectEqual(textOf(await store.get("counter")), "-2", "get");
    await store.set("counter", "40");
    expectEqual(await store.add("counter", 2), 42, "add to a text");
  }),

  storeCase("add() counts as a BigInt does, in 64 bits, and never rounds", async ({ store, other }) => {
    const random = new SeededRandom(2, "int64");
    const bits = () => (BigInt(random.u32()) << 32n) | BigInt(random.u32());
    const edges = [SMALLEST, LARGEST, 2n ** 53n, -(2n ** 53n), 0n, 1n, -1n];
    const draw = () =>
      random.below(3) === 0 ? BigInt.asIntN(64, bits()) : random.pick(edges) / BigInt(1 + random.below(3));
    for (let round = 0; round < 20; round++) {
      let counter = draw();
      await store.set("counter", String(counter));
      for (let step = 0; step < 3; step++) counter = await addOne(random.pick([store, other]), counter, draw(), random);
      expectEqual(textOf(await other.get("counter")), String(counter), "the counter's text");
    }
  }),

  storeCase("add() says how a sum past 2^53 is had, and that one past 64 bits is none", async ({ store }) => {
    await store.set("counter", "9007199254740993");
    await expectError(
      store.add("counter", 5),
      "StoreError",
      "9007199254740998, which no number holds exactly: pass a bigint",
    );
    expectEqual(await store.add("counter", -1n), 9007199254740992n, "nothing was added before");
    expectEqual(await store.add("counter", -1), 9007199254740991, "add");
    await store.set("counter", String(LARGEST));
    await expectError(store.add("counter", 1n), "StoreError", "64 bits");
    expectEqual(await store.add("counter", 0n), LARGEST, "add");
  }),

  storeCase("add() refuses an amount that is no 64-bit integer, and adds nothing", async ({ store }) => {
    for (const amount of [1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, LARGEST + 1n, SMALLEST - 1n]) {
      await expectError(store.add("counter", amount), "RangeError");
    }
    await expectError(store.add("counter", "1" as unknown as number), "TypeError");
    expectEqual(await store.check(["counter"]), false, "check");
  }),

  storeCase("add() refuses a text that is no 64-bit integer, names the key, and leaves the text", async ({ store }) => {
    for (const text of NO_COUNTERS) {
      await store.set("some/key", text);
      for (const amount of [1, 1n]) await expectError(store.add("some/key", amount), "StoreError", "some/key");
      expectEqual(textOf(await store.get("some/key")), text, "the text");
    }
  }),
];

/** Adds `step` to a counter, as a number where it is a small one, and says its value afterwards. */
async function addOne(store: Store, counter: bigint, step: bigint, random: SeededRandom): Promise<bigint> {
  const isNumber = Number.isSafeInteger(Number(step)) && random.below(2) === 0;
  const amount = isNumber ? Number(step) : step;
  const sum = counter + step;
  const fits = BigInt.asIntN(64, sum) === sum && (!isNumber || Number.isSafeInteger(Number(sum)));
  if (!fits) {
    await expectError(store.add("counter", amount), "StoreError");
    return counter;
  }
  const got: unknown = await store.add("counter", amount);
  if (got !== (isNumber ? Number(sum) : sum)) {
    throw new ConformanceError(`${counter} + ${step}: got ${String(got)} (${typeof got}), expected ${sum}`);
  }
  return sum;
}

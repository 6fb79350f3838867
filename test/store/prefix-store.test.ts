import { describe, expect, it } from "vitest";
import { HashStore } from "../../src/store/hash-store.ts";
import { PrefixStore } from "../../src/store/prefix-store.ts";

describe("PrefixStore", () => {
  it("nests: the outer prefix stands first", async () => {
    const below = new HashStore();
    const outer = new PrefixStore("a", below);
    const inner = new PrefixStore("b", outer);
    await inner.set("key", "1");
    expect(await below.check(["a/b/key"])).toBe(true);
    expect(inner.underlyingStore).toBe(outer);
    expect(inner.innermostStore).toBe(below);
  });

  it("keeps two prefixes apart", async () => {
    const below = new HashStore();
    await new PrefixStore("a", below).set("key", "1");
    expect(await new PrefixStore("b", below).check(["key"])).toBe(false);
  });

  it("has the timeout of the store below, and leaves it open", async () => {
    const below = new HashStore();
    const store = new PrefixStore("a", below);
    store.timeoutMs = 1234;
    expect(below.timeoutMs).toBe(1234);
    await store.close();
    await below.set("key", "still open");
    expect(await below.numKeys()).toBe(1);
  });

  it("refuses a null store and a prefix that is no string", () => {
    expect(() => new PrefixStore("a", null as never)).toThrow(TypeError);
    expect(() => new PrefixStore("a", undefined as never)).toThrow(TypeError);
    expect(() => new PrefixStore(1 as never, new HashStore())).toThrow(TypeError);
  });
});

import { describe, expect, it, onTestFinished } from "vitest";
import { StoreError, TimeoutError } from "../../src/errors.ts";
import { HashStore, PrefixStore, type Store, StoreCollectives, TcpStore } from "../../src/node/index.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

const OVER: readonly [string, () => Promise<Store>][] = [
  ["HashStore", async () => new HashStore()],
  ["PrefixStore", async () => new PrefixStore("a", new HashStore())],
  ["TcpStore", () => TcpStore.listen()],
];

describe.each(OVER)("StoreCollectives over a %s", (_name, open) => {
  async function ranks(worldSize: number): Promise<{ all: StoreCollectives[]; store: Store }> {
    const store = await open();
    onTestFinished(() => store.close());
    return { store, all: Array.from({ length: worldSize }, (_, rank) => new StoreCollectives(store, rank, worldSize)) };
  }

  it("barrier() ends when the last rank has come", async () => {
    const { all } = await ranks(3);
    let isOver = false;
    const first = Promise.all([all[0]!.barrier("b"), all[2]!.barrier("b")]).then(() => {
      isOver = true;
    });
    await all[1]!.store.check(["b"]);
    expect(isOver).toBe(false);
    await all[1]!.barrier("b");
    await first;
  });

  it("barrier() names the ranks that are missing; without block it only says that a rank came", async () => {
    const { all } = await ranks(4);
    await all[2]!.barrier("b", 0, false);
    const failure = all[0]!.barrier("b", 30);
    await expect(failure).rejects.toThrow(TimeoutError);
    await expect(failure).rejects.toThrow("barrier failed -- missing ranks: 1, 3");
    await expect(failure).rejects.toMatchObject({ missingRanks: [1, 3] });
  });

  it("allSum() adds numbers, and bigints past 2^53", async () => {
    const { all } = await ranks(3);
    expect(await Promise.all(all.map((on, rank) => on.allSum("n", rank + 1)))).toEqual([6, 6, 6]);
    expect(await Promise.all(all.map((on) => on.allSum("big", 2n ** 53n)))).toEqual(Array(3).fill(3n * 2n ** 53n));
    await expect(all[0]!.allSum("alone", 1, 30)).rejects.toThrow("barrier failed -- missing ranks: 1, 2");
  });

  it("broadcast, gather, scatter and allGather carry bytes, empty ones too", async () => {
    const { all } = await ranks(3);
    const [first, second, third] = all as [StoreCollectives, StoreCollectives, StoreCollectives];
    const received = Promise.all([second.broadcastRecv("v"), third.broadcastRecv("v")]);
    await first.broadcastSend("v", "value");
    expect((await received).map(text)).toEqual(["value", "value"]);

    const own = new TextEncoder().encode("one");
    const gathered = second.gatherRecv("g", own);
    own.fill(0);
    await Promise.all([first.gatherSend("g", ""), third.gatherSend("g", "three")]);
    expect((await gathered).map(text)).toEqual(["", "one", "three"]);

    const parts = Promise.all([first.scatterRecv("s"), second.scatterRecv("s")]);
    expect(text(await third.scatterSend("s", ["a", "", "c"]))).toBe("c");
    expect((await parts).map(text)).toEqual(["a", ""]);

    const everywhere = await Promise.all(all.map((on, rank) => on.allGather("all", String(rank))));
    expect(everywhere.map((values) => values.map(text))).toEqual(Array(3).fill(["0", "1", "2"]));
  });

  it("names the missing ranks of gather and allGather, and the key of what was not sent", async () => {
    const { all } = await ranks(4);
    await all[3]!.gatherSend("g", "3");
    await expect(all[1]!.gatherRecv("g", "1", 30)).rejects.toThrow("gather failed -- missing ranks: 0, 2");
    await expect(all[1]!.allGather("all", "1", 30)).rejects.toThrow("allGather failed -- missing ranks: 0, 2, 3");
    await expect(all[1]!.broadcastRecv("v", 30)).rejects.toThrow(/broadcast failed -- nothing was sent under "v"/);
    await expect(all[1]!.scatterRecv("s", 30)).rejects.toThrow(/scatter failed -- nothing was sent under "s"/);
  });

  it("uses a key once, whichever call it was", async () => {
    const { all } = await ranks(1);
    const [on] = all as [StoreCollectives];
    await on.barrier("key");
    for (const again of [
      () => on.barrier("key"),
      () => on.allSum("key", 1),
      () => on.broadcastSend("key", ""),
      () => on.broadcastRecv("key"),
      () => on.gatherSend("key", ""),
      () => on.gatherRecv("key", ""),
      () => on.scatterSend("key", [""]),
      () => on.scatterRecv("key"),
      () => on.allGather("key", ""),
    ]) {
      await expect(again()).rejects.toThrow(StoreError);
      await expect(again()).rejects.toThrow("Key key has already been used.");
    }
  });

  it("is done at once by a rank that is alone", async () => {
    const { all } = await ranks(1);
    const [on] = all as [StoreCollectives];
    expect(await on.allSum("n", 5, 0)).toBe(5);
    expect((await on.gatherRecv("g", "x", 0)).map(text)).toEqual(["x"]);
    expect((await on.allGather("all", "x", 0)).map(text)).toEqual(["x"]);
    expect(text(await on.scatterSend("s", ["x"]))).toBe("x");
  });
});

describe("StoreCollectives", () => {
  it("refuses what is no store and no rank, and lists of another length", async () => {
    const store = new HashStore();
    expect(() => new StoreCollectives(null as never, 0, 1)).toThrow(TypeError);
    for (const [rank, size] of [
      [-1, 2],
      [2, 2],
      [0.5, 2],
      [0, 0],
    ] as const) {
      expect(() => new StoreCollectives(store, rank, size)).toThrow(RangeError);
    }
    const on = new StoreCollectives(store, 0, 2);
    await expect(on.scatterSend("s", ["one"])).rejects.toThrow(/1 values for 2 ranks/);
    await on.scatterSend("s", ["one", "two"]);
    await expect(on.barrier(1 as never)).rejects.toThrow(TypeError);
  });
});

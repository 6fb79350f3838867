/** What members make a hub keep: each attack is made by hand, beside a healthy group. */
import { describe, expect, it, vi } from "vitest";
import { StoreError } from "../../src/errors.ts";
import { HubStore } from "../../src/store/hub-store.ts";
import { ATTACKS, attackHub, fold, MIB } from "../hub/attacks.ts";
import { besideHealthyGroup, halfMessage, hostile, hubProcess } from "../hub/hostile.ts";
import type { Hostile } from "../hub/hostile-member.ts";
import { join, joinConnection, openHub } from "../hub/support.ts";

/** What a hub's process may grow by. */
const MOST_GROWTH = 64 * MIB;

describe("W3 what a member makes a hub keep", () => {
  it.each(Object.entries(ATTACKS))("%s: at most 64 MiB of its process", { timeout: 60_000 }, async (_name, attack) => {
    const hub = await hubProcess();
    const growth = await besideHealthyGroup(hub, () => hub.growth(() => attackHub(hub, attack)));
    expect(hub.isAlive).toBe(true);
    expect(growth / MIB).toBeLessThan(MOST_GROWTH / MIB);
  });

  it("90 half messages: at most their group's quota and 64 MiB more", { timeout: 60_000 }, async () => {
    const hub = await hubProcess({ quotas: { groupBytes: 32 * MIB } });
    const growth = await besideHealthyGroup(hub, () =>
      hub.growth(async () => {
        const worldSize = 90;
        const ranks = Array.from({ length: worldSize }, (_, rank) => rank);
        const members = await Promise.all(ranks.map((rank) => hostile(hub, { rank, worldSize })));
        const half = halfMessage(15 * MIB, 4 * MIB);
        await Promise.all(
          members.map(async ({ net, closed }) => {
            const written = new Promise((resolve) => net.write(half, resolve));
            await Promise.race([written, closed]);
          }),
        );
      }),
    );
    expect(growth / MIB).toBeLessThan(MOST_GROWTH / MIB + 32);
  });
});

describe("W4 a hub that has no room", () => {
  it("closes the biggest holder, and no member of a healthy group", async () => {
    const hub = await openHub({ maxHubBytes: 64 * MIB });
    await besideHealthyGroup(hub, async () => {
      const holders: Hostile[] = [];
      for (let i = 0; i < 18; i++) {
        const member = await hostile(hub, { group: `holders ${i >> 1}`, rank: i % 2, worldSize: 3 });
        await member.tell({ type: "group", group: 7, ranks: [0, 1, 2] });
        for (let slot = 0; slot < 4 + (i % 3); slot++) await member.send(...fold(slot, new Uint8Array(MIB)));
        holders.push(member);
      }
      const codes = await Promise.race(holders.map(({ closed }) => closed));
      expect(codes).toEqual({ code: 1009, reason: "too many bytes are kept for this hub" });
    });
    expect(hub.stats.bytesKept).toBeLessThanOrEqual(64 * MIB);
  });

  it("ends the group whose store is the biggest thing in it", async () => {
    const hub = await openHub({ maxHubBytes: 32 * MIB, quotas: { storeBytes: 24 * MIB } });
    await besideHealthyGroup(hub, async () => {
      const big = await joinConnection(hub, { group: "big" });
      const fill = async (store: HubStore, values: number) => {
        for (let i = 0; i < values; i++) await store.set(`key ${i}`, new Uint8Array(6 * MIB));
      };
      await fill(new HubStore(big.connection), 3);
      const second = await joinConnection(hub, { group: "second" });
      await fill(new HubStore(second.connection), 3);
      await big.until(() => big.events.length > 0);
      expect(big.events).toMatchObject([{ type: "closed", code: 1009 }]);
      expect(await new HubStore(second.connection).check(["key 0", "key 1"])).toBe(true);
    });
  });
});

describe("W5 members, groups and connections", () => {
  it("that said goodbye are closed after a while", async () => {
    const hub = await openHub({ leftCloseMs: 50 });
    const members = await Promise.all(Array.from({ length: 50 }, (_, rank) => hostile(hub, { rank, worldSize: 50 })));
    for (const member of members) void member.tell({ type: "goodbye", cause: null });
    const codes = await Promise.all(members.map(({ closed }) => closed));
    expect(new Set(codes.map(({ code }) => code))).toEqual(new Set([1000]));
    expect(hub.stats).toMatchObject({ members: 0, rooms: 0 });
  });

  it("are refused past their quota with the reason, and let in when there is room", async () => {
    const hub = await openHub({ quotas: { members: 2, groups: 2, connections: 3 } });
    await expect(join(hub, { worldSize: 3 })).rejects.toThrow(/has 3 ranks, and this hub takes at most 2/);
    const store = { group: "s", purpose: "store", rank: null, worldSize: 65_536 } as const;
    const [first] = [await join(hub, store), await join(hub, store)];
    const refusalOf = (fields: Parameters<typeof hostile>[1]) =>
      hostile(hub, fields).then(
        () => "let in",
        (error: Error) => error.message,
      );
    expect(await refusalOf(store)).toBe('store "s" has 2 clients, as many as this hub takes');
    await join(hub, { group: "a" });
    expect(await refusalOf({ group: "a", rank: 1 })).toBe("this hub has 3 connections, as many as it takes");
    const later = join(hub, { group: "a", rank: 1 });
    first!.socket.close();
    expect((await later).welcome.rank).toBe(1);
    const roomy = await openHub({ quotas: { groups: 1 } });
    await join(roomy, { group: "a" });
    expect(await hostile(roomy, { group: "b" }).catch((error: Error) => error.message)).toMatch(/1 groups and stores/);
  });
});

describe("quotas of a store", () => {
  it("refuse a value, a key and bytes beyond them with a StoreError, and nothing is lost", async () => {
    const hub = await openHub({ quotas: { storeBytes: 10_000, keys: 3, valueBytes: 4_000 } });
    const { connection } = await joinConnection(hub);
    const store = new HubStore(connection);
    await store.set("a", new Uint8Array(4_000));
    await expect(store.set("a", new Uint8Array(4_001))).rejects.toThrow(StoreError);
    await expect(store.append("a", new Uint8Array(1))).rejects.toThrow(/"a" would have 4001 bytes.*at most 4000/);
    await expect(store.queuePush("q", new Uint8Array(4_001))).rejects.toThrow(StoreError);
    await store.set("b", new Uint8Array(4_000));
    await expect(store.multiSet(["c", "d"], ["1", "2"])).rejects.toThrow(/at most 3 keys/);
    await expect(store.multiSet(["c", "b"], [new Uint8Array(3_000), "2"])).resolves.toBeUndefined();
    await expect(store.set("b", new Uint8Array(3_000))).rejects.toThrow(/the store is full.*delete keys/);
    expect((await store.get("b")).length).toBe(1);
    expect((await store.get("a")).length).toBe(4_000);
    await store.deleteKey("a");
    await store.set("b", new Uint8Array(3_000));
    expect(await store.numKeys()).toBe(2);
  });

  it("are given back when the group goes", async () => {
    const hub = await openHub();
    for (let i = 0; i < 3; i++) {
      const { connection } = await joinConnection(hub, { group: "g" });
      const store = new HubStore(connection);
      for (let k = 0; k < 20; k++) await store.append(`key ${k % 5}`, new Uint8Array(1_000 * k));
      await store.queuePush("queue", "1");
      await store.queuePop("queue");
      await store.deleteKey("key 3");
      expect(hub.stats.bytesKept).toBeGreaterThan(100_000);
      connection.goodbye();
      connection.close();
      await vi.waitFor(() => expect(hub.stats).toMatchObject({ rooms: 0, bytesKept: 0 }));
    }
  });
});

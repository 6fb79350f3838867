/** What members make a hub keep: each attack is made by hand, beside a healthy group. */
import { describe, expect, it, vi } from "vitest";
import { StoreError } from "../../src/errors.ts";
import { HubStore } from "../../src/store/hub-store.ts";
import { DATA_TYPES } from "../../src/types.ts";
import { encodeHeader, FoldFlag, FrameKind, HUB_PEER } from "../../src/wire/frame.ts";
import { besideHealthyGroup, type Hostile, halfMessage, hostile, hubProcess, MIB } from "../hub/hostile.ts";
import { dataFrame, join, joinConnection, openHub } from "../hub/support.ts";

const MOST_GROWTH = 64 * MIB;

function fold(slot: number, part: Uint8Array, sequence = 1, group = 7): Uint8Array[] {
  const fields = { slot, group, sequence, payloadBytes: part.length, request: FoldFlag.HAS_PART };
  const fingerprint = {
    ...{ refused: 0, persistent: 0, collective: 0, dtype: DATA_TYPES.indexOf("f32"), op: 0, customOp: 0 },
    ...{ root: 0, count: part.length / 4, detail: 0, algorithm: 0, segmentBytes: 0 },
  };
  return [encodeHeader({ kind: FrameKind.FOLD, flags: 0, peer: HUB_PEER, epoch: 0, ...fields }, fingerprint), part];
}

/** Does something until it is done so often, or the member has been closed for it. */
async function repeat({ ws, closed }: Hostile, times: number, act: (i: number) => Promise<unknown>): Promise<void> {
  let isClosed = false;
  void closed.then(() => (isClosed = true));
  for (let i = 0; i < times && !isClosed && ws.readyState === ws.OPEN; i++) await act(i);
}

const call = (id: number, op: string, ...args: unknown[]) => ({ type: "call", id, op, args });

/** By name: what a member of a group of many does. It reads nothing of what the hub answers. */
const ATTACKS: Record<string, (member: Hostile) => Promise<unknown>> = {
  "5,000 folds of 4,096 ranks": async (member) => {
    await member.tell({ type: "group", group: 7, ranks: Array.from({ length: 4_096 }, (_, rank) => rank) });
    await repeat(member, 5_000, (slot) => member.send(...fold(slot, new Uint8Array(0))));
  },
  "4,096 groups of 4,096 ranks": (member) => {
    const ranks = Array.from({ length: 4_096 }, (_, rank) => rank);
    return repeat(member, 4_096, (group) => member.tell({ type: "group", group, ranks }));
  },
  "300 gets of 8 MiB": async (member) => {
    await member.tell(call(0, "set", "key", new Uint8Array(8 * MIB)));
    member.net.pause();
    await repeat(member, 300, (id) => member.tell(call(id, id % 2 ? "get" : "multiGet", id % 2 ? "key" : ["key"], 0)));
    await member.tell(call(300, "multiGet", Array(300).fill("key"), 0));
  },
  "1,000 gets that wait for 4 MiB": async (member) => {
    member.net.pause();
    await repeat(member, 1_000, (id) => member.tell(call(id, "get", `key ${id % 8}`, 60_000)));
    for (let i = 0; i < 8; i++) await member.tell(call(i, "set", `key ${i}`, new Uint8Array(4 * MIB)));
  },
  "100 sets of 15 MiB": (member) =>
    repeat(member, 100, (id) => member.tell(call(id, "set", `key ${id}`, new Uint8Array(15 * MIB)))),
  "100 sets of 4 MiB": (member) =>
    repeat(member, 100, (id) => member.tell(call(id, "set", `key ${id}`, new Uint8Array(4 * MIB)))),
  "20 multiSets of 1,000 keys": (member) =>
    repeat(member, 20, (id) => {
      const keys = Array.from({ length: 1_000 }, (_, i) => `${"k".repeat(4_000)}${id * 1_000 + i}`);
      return member.tell(call(id, "multiSet", keys, Array(1_000).fill(new Uint8Array(1))));
    }),
  "30 appends of 15 MiB": (member) =>
    repeat(member, 30, (id) => member.tell(call(id, "append", "key", new Uint8Array(15 * MIB)))),
  "200 appends of 1 MiB": (member) =>
    repeat(member, 200, (id) => member.tell(call(id, "append", "key", new Uint8Array(MIB)))),
  "1,000 values of 1 MiB in queues": (member) =>
    repeat(member, 200, (id) => member.tell(call(id, "queuePush", `key ${id % 3}`, new Uint8Array(MIB)))),
  "1,500 waits for 4,900 keys": (member) => {
    const keys = Array.from({ length: 4_900 }, (_, i) => `${i}`);
    return repeat(member, 1_500, (id) => member.tell(call(id, "wait", keys, 600_000)));
  },
  "400,000 pings": async (member) => {
    member.net.pause();
    const ping = Buffer.alloc(131, 7);
    ping.set([0x89, 0x80 | 125, 0, 0, 0, 0]);
    const pings = Buffer.concat(Array.from({ length: 400 }, () => ping));
    await repeat(member, 1_000, () => new Promise((resolve) => member.net.write(pings, resolve)));
  },
  "100,000 empty frames to a rank that does not read": async (member) => {
    const frame = dataFrame(1, 0);
    await repeat(member, 1_000, () => Promise.all(Array.from({ length: 100 }, () => member.send(frame))));
  },
};

describe("W3 what a member makes a hub keep", () => {
  it.each(Object.entries(ATTACKS))("%s: at most 64 MiB more", { timeout: 60_000 }, async (_name, attack) => {
    const hub = await hubProcess();
    const growth = await hub.growth(() =>
      besideHealthyGroup(hub, async () => {
        const worldSize = 4_096;
        const other = await hostile(hub, { rank: 1, worldSize });
        other.net.pause();
        const member = await hostile(hub, { rank: 0, worldSize });
        await Promise.race([attack(member), member.closed]);
        member.ws.terminate();
      }),
    );
    expect(hub.isAlive).toBe(true);
    expect(growth / MIB).toBeLessThan(MOST_GROWTH / MIB);
  });

  it("90 half messages: at most their group's quota and 64 MiB more", { timeout: 60_000 }, async () => {
    const hub = await hubProcess({ quotas: { groupBytes: 32 * MIB } });
    const growth = await hub.growth(() =>
      besideHealthyGroup(hub, async () => {
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
    const hub = await openHub({ maxHubBytes: 8 * MIB, quotas: { storeBytes: 7 * MIB } });
    await besideHealthyGroup(hub, async () => {
      const big = await joinConnection(hub, { group: "big" });
      await new HubStore(big.connection).set("key", new Uint8Array(5 * MIB));
      const second = await joinConnection(hub, { group: "second" });
      await new HubStore(second.connection).set("key", new Uint8Array(4 * MIB));
      await big.until(() => big.events.length > 0);
      expect(big.events).toMatchObject([{ type: "closed", code: 1009 }]);
      expect(await new HubStore(second.connection).check(["key"])).toBe(true);
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

/** What members make a hub keep: each attack is made by hand, beside a healthy group. */
import { describe, expect, it, vi } from "vitest";
import { StoreError } from "../../src/errors.ts";
import { HubStore } from "../../src/store/hub-store.ts";
import { DATA_TYPES } from "../../src/types.ts";
import { encodeHeader, FoldFlag, FrameKind, HUB_PEER } from "../../src/wire/frame.ts";
import { encodeHubFrame } from "../../src/wire/hub-frame.ts";
import { webSocketFrame } from "../fuzz/draws.ts";
import { besideHealthyGroup, type Hostile, halfMessage, hostile, hubProcess, MIB } from "../hub/hostile.ts";
import { dataFrame, join, joinConnection, openHub } from "../hub/support.ts";

/** What a hub's process may grow by: the goal of 64 MiB, and as much for what the garbage collector has not met yet. */
const MOST_GROWTH = 128 * MIB;

function fold(slot: number, part: Uint8Array, sequence = 1, group = 7): Uint8Array[] {
  const fields = { slot, group, sequence, payloadBytes: part.length, request: FoldFlag.HAS_PART };
  const fingerprint = {
    ...{ refused: 0, persistent: 0, ahead: 0, collective: 0, dtype: DATA_TYPES.indexOf("f32"), op: 0, customOp: 0 },
    ...{ root: 0, count: part.length / 4, detail: 0, algorithm: 0, segmentBytes: 0 },
  };
  return [encodeHeader({ kind: FrameKind.FOLD, flags: 0, peer: HUB_PEER, epoch: 0, ...fields }, fingerprint), part];
}

const call = (id: number, op: string, ...args: unknown[]) => ({ type: "call", id, op, args });

/** Writes `times` frames of WebSocket, many at a time, until the member has been closed for it. */
async function flood(
  { net, closed }: Hostile,
  times: number,
  frameOf: (i: number) => Buffer,
  atOnce = 100,
): Promise<void> {
  for (let i = 0; i < times && !net.destroyed; i += atOnce) {
    const frames = Array.from({ length: Math.min(atOnce, times - i) }, (_, k) => frameOf(i + k));
    await Promise.race([new Promise((resolve) => net.write(Buffer.concat(frames), resolve)), closed]);
  }
}

const frameOf = (...parts: readonly Uint8Array[]) => webSocketFrame(Buffer.concat(parts));
const message = (content: object) => frameOf(...encodeHubFrame(content));

/** By name: what a member of a group of many does. */
const ATTACKS: Record<string, (member: Hostile) => Promise<unknown>> = {
  "5,000 folds of 4,096 ranks": async (member) => {
    await member.tell({ type: "group", group: 7, ranks: Array.from({ length: 4_096 }, (_, rank) => rank) });
    await flood(member, 5_000, (slot) => frameOf(...fold(slot, new Uint8Array(0))));
  },
  "1,500 groups of 4,096 ranks": (member) => {
    const ranks = Array.from({ length: 4_096 }, (_, rank) => rank);
    return flood(member, 1_500, (group) => message({ type: "group", group, ranks }), 10);
  },
  "300 gets of 8 MiB that nobody reads": async (member) => {
    await member.tell(call(0, "set", "key", new Uint8Array(8 * MIB - 100)));
    member.net.pause();
    await flood(member, 300, (id) => message(id % 2 ? call(id, "get", "key", 0) : call(id, "multiGet", ["key"], 0)));
    await member.tell(call(300, "multiGet", Array(300).fill("key"), 0));
  },
  "1,000 gets that wait for 3 MiB": async (member) => {
    member.net.pause();
    await flood(member, 1_000, (id) => message(call(id, "get", `key ${id % 8}`, 60_000)));
    for (let i = 0; i < 8; i++) await member.tell(call(i, "set", `key ${i}`, new Uint8Array(3 * MIB)));
  },
  "100 sets of 15 MiB": (member) => {
    const set = message(call(1, "set", "key", new Uint8Array(15 * MIB)));
    return flood(member, 100, () => set, 1);
  },
  "100 sets of 4 MiB": (member) =>
    flood(member, 100, (id) => message(call(id, "set", `key ${id}`, new Uint8Array(4 * MIB))), 1),
  "20 multiSets of 1,000 long keys": (member) => {
    const values = Array(1_000).fill(new Uint8Array(1));
    const keys = (id: number) => Array.from({ length: 1_000 }, (_, i) => `${"k".repeat(4_000)}${id * 1_000 + i}`);
    return flood(member, 20, (id) => message(call(id, "multiSet", keys(id), values)), 1);
  },
  "30 appends of 15 MiB": (member) => {
    const append = message(call(1, "append", "key", new Uint8Array(15 * MIB)));
    return flood(member, 30, () => append, 1);
  },
  "200 appends of 1 MiB": (member) => {
    const append = message(call(1, "append", "key", new Uint8Array(MIB)));
    return flood(member, 200, () => append, 4);
  },
  "200 values of 1 MiB in queues": (member) =>
    flood(member, 200, (id) => message(call(id, "queuePush", `key ${id % 3}`, new Uint8Array(MIB))), 4),
  "1,500 waits for 4,900 keys": (member) => {
    const wait = message(
      call(
        1,
        "wait",
        Array.from({ length: 4_900 }, (_, i) => `${i}`),
        600_000,
      ),
    );
    return flood(member, 1_500, () => wait, 10);
  },
  "200,000 pings whose answers nobody reads": async (member) => {
    member.net.pause();
    const ping = webSocketFrame(new Uint8Array(125), 0x89);
    await flood(member, 200_000, () => ping, 1_000);
  },
  "100,000 empty frames to a rank that does not read": (member) => {
    const frame = frameOf(dataFrame(1, 0));
    return flood(member, 100_000, () => frame, 1_000);
  },
};

describe("W3 what a member makes a hub keep", () => {
  it("is at most 128 MiB of its process", { timeout: 300_000 }, async () => {
    const growths: Record<string, number> = {};
    for (const [name, attack] of Object.entries(ATTACKS)) {
      const hub = await hubProcess();
      const growth = await hub.growth(() =>
        besideHealthyGroup(hub, async () => {
          const worldSize = 4_096;
          const other = await hostile(hub, { rank: 1, worldSize });
          other.net.pause();
          const member = await hostile(hub, { rank: 0, worldSize });
          // A hub that reads no more of it for now is as good as one that has closed it.
          const isHeld = new Promise((resolve) => setTimeout(resolve, 1_500).unref());
          await Promise.race([attack(member), member.closed, isHeld]);
          member.ws.terminate();
        }),
      );
      expect(hub.isAlive, name).toBe(true);
      hub.kill();
      growths[name] = Math.round(growth / MIB);
    }
    console.log("MiB at most, by attack:", growths);
    expect(Object.entries(growths).filter(([, mib]) => mib * MIB > MOST_GROWTH)).toEqual([]);
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
    const hub = await openHub({ maxHubBytes: 32 * MIB, quotas: { storeBytes: 24 * MIB } });
    await besideHealthyGroup(hub, async () => {
      const big = await joinConnection(hub, { group: "big" });
      const fill = async (store: HubStore, values: number) => {
        for (let i = 0; i < values; i++) await store.set(`key ${i}`, new Uint8Array(6 * MIB));
      };
      await fill(new HubStore(big.connection), 3);
      const second = await joinConnection(hub, { group: "second" });
      await fill(new HubStore(second.connection), 2);
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

/** What a member can do to make a hub keep much, each attack by hand. For tests and for bench/hub/. */
import { deflateRawSync } from "node:zlib";
import { DATA_TYPES } from "../../src/types.ts";
import { encodeHeader, FoldFlag, FrameKind, HUB_PEER } from "../../src/wire/frame.ts";
import { encodeHubFrame } from "../../src/wire/hub-frame.ts";
import { webSocketFrame } from "../fuzz/draws.ts";
import { dataFrame } from "./frames.ts";
import { enter, type Hostile } from "./hostile-member.ts";

export const MIB: number = 2 ** 20;

export function fold(slot: number, part: Uint8Array, sequence = 1, group = 7): Uint8Array[] {
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
export const ATTACKS: Record<string, (member: Hostile) => Promise<unknown>> = {
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

/** After so long a hub that reads no more of a member for now is as good as one that has closed it, in milliseconds. */
const HELD_MS = 1_500;

let attacks = 0;

/** Runs one of {@link ATTACKS} in a group of its own, in which another rank reads nothing. */
export async function attackHub(hub: { url: string }, attack: (member: Hostile) => Promise<unknown>): Promise<void> {
  const fields = { group: `attacked ${process.pid} ${attacks++}`, worldSize: 4_096 };
  const other = await enter(hub, { ...fields, rank: 1 });
  other.net.pause();
  const member = await enter(hub, { ...fields, rank: 0 });
  const isHeld = new Promise((resolve) => setTimeout(resolve, HELD_MS).unref());
  await Promise.race([attack(member), member.closed, isHeld]);
  member.ws.terminate();
  other.ws.terminate();
}

/** A member that has a group of its own, until the hub closes it for `bytes` of its connection. */
async function bomb(hub: { url: string }, bytes: Buffer): Promise<void> {
  const { ws, net, closed } = await enter(hub, { group: `bombs ${process.pid} ${bombs++}` });
  net.write(bytes);
  await closed;
  ws.terminate();
}
let bombs = 0;

const control = (...bytes: readonly number[]) =>
  frameOf(
    dataFrame(HUB_PEER, bytes.length, { kind: FrameKind.CONTROL, group: 0, sequence: 0 }),
    Uint8Array.from(bytes),
  );

const times = (count: number, run: () => Promise<void>) => Promise.all(Array.from({ length: count }, run));

/** By name: few bytes that stand for many. */
export const BOMBS: Record<string, (hub: { url: string }) => Promise<unknown>> = {
  "MessagePack: 2^32 items, 5,000 levels, records": async (hub) => {
    await times(20, () => bomb(hub, control(0xdd, 0xff, 0xff, 0xff, 0xff)));
    await times(20, () => bomb(hub, control(0xdf, 0xff, 0xff, 0xff, 0xff)));
    await times(20, () => bomb(hub, control(...new Array<number>(5_000).fill(0x91))));
    await times(20, () => bomb(hub, control(0xd4, 0x72, 0x40)));
    await times(20, () => bomb(hub, control(0xc6, 0xff, 0xff, 0xff, 0xff)));
  },
  "lengths: frames of 2^40 bytes, payloads of 2^32": async (hub) => {
    const declared = Buffer.from([0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
    await times(50, () => bomb(hub, declared));
    await times(50, () => bomb(hub, frameOf(dataFrame(1, 0xffff_ffff), new Uint8Array(10))));
  },
  "fragments: 100,000 of a message, empty and of a byte": async (hub) => {
    for (const payload of [new Uint8Array(0), new Uint8Array(1)]) {
      const first = webSocketFrame(payload, 0x02);
      const rest = Buffer.concat(Array.from({ length: 100_000 }, () => webSocketFrame(payload, 0x00)));
      await times(10, () => bomb(hub, Buffer.concat([first, rest])));
    }
  },
  "deflate: 64 MiB of zeros in 64 KiB": async (hub) => {
    const deflated = deflateRawSync(Buffer.alloc(64 * MIB));
    await times(50, () => bomb(hub, webSocketFrame(deflated, 0xc2)));
  },
};

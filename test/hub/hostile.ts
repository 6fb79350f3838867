/** Hostile members and hubs in processes of their own, which end with their test; and a healthy group beside them. */
import { expect, onTestFinished } from "vitest";
import { HubStore } from "../../src/store/hub-store.ts";
import type { Hello } from "../../src/wire/handshake.ts";
import { enter, type Hostile } from "./hostile-member.ts";
import { type HubProcess, startHubProcess } from "./hub-process.ts";
import { dataFrame, joinConnection } from "./support.ts";

export async function hubProcess(options: Parameters<typeof startHubProcess>[0] = {}): Promise<HubProcess> {
  const hub = await startHubProcess(options);
  onTestFinished(() => hub.kill());
  return hub;
}

export async function hostile(hub: { url: string }, fields: Partial<Hello> = {}): Promise<Hostile> {
  const member = await enter(hub, fields);
  onTestFinished(() => member.ws.terminate());
  return member;
}

/**
 * Two members of a group of their own. While `attack` runs they exchange frames and count in their store; every byte and every
 * count must be right, and the group go on afterwards. Resolves with the outcome of `attack`.
 */
export async function besideHealthyGroup<T>(hub: { url: string }, attack: () => Promise<T>): Promise<T> {
  const group = `healthy-${Math.random()}`;
  const [zero, one] = await Promise.all([0, 1].map((rank) => joinConnection(hub, { group, rank })));
  const store = new HubStore(zero!.connection);
  let rounds = 0;
  const round = async () => {
    const payload = new Uint8Array(10_000).fill(rounds % 251);
    one!.frames.length = 0;
    zero!.connection.sendFrame(dataFrame(1, payload.length), payload);
    await one!.until(() => one!.frames.length === 1 || one!.events.length > 0);
    expect(one!.events).toEqual([]);
    expect(Buffer.from(one!.frames[0]!.payload).equals(payload)).toBe(true);
    expect(await store.add("rounds", 1)).toBe(++rounds);
  };
  // The hub has all that it needs for them.
  for (let i = 0; i < 100; i++) await round();
  let isOver = false;
  const going = (async () => {
    while (!isOver) await round();
  })();
  const [result] = await Promise.all([attack().finally(() => (isOver = true)), going]);
  await round();
  return result;
}

/** The head and the first bytes of a WebSocket frame of `declared` bytes, of which `sent` come. */
export function halfMessage(declared: number, sent: number): Buffer {
  const bytes = Buffer.alloc(14 + sent, 1);
  bytes[0] = 0x82;
  bytes[1] = 0x80 | 127;
  bytes.writeBigUInt64BE(BigInt(declared), 2);
  bytes.fill(0, 10, 14);
  return bytes;
}

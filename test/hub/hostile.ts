/** Members written by hand, over `ws` and the wire formats, that do what no client of ours does; and a healthy group beside them. */
import { fork } from "node:child_process";
import { once } from "node:events";
import type { Socket as NetSocket } from "node:net";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished } from "vitest";
import type { WebSocket } from "ws";
import type { startHub } from "../../src/node/hub.ts";
import { HubStore } from "../../src/store/hub-store.ts";
import { decodeHandshake, type Hello, type Welcome } from "../../src/wire/handshake.ts";
import { encodeHubFrame } from "../../src/wire/hub-frame.ts";
import { dataFrame, hello, helloMessage, joinConnection, rawWebSocket } from "./support.ts";

const MIB = 2 ** 20;

/** A hub in a process of its own. */
export interface HubProcess {
  readonly url: string;
  /** Runs `attack`, and tells how many bytes of memory the hub had at most beyond what it had before. */
  growth(attack: () => Promise<unknown>): Promise<number>;
  readonly isAlive: boolean;
  kill(): void;
}

export async function hubProcess(options: Parameters<typeof startHub>[0] = {}): Promise<HubProcess> {
  const program = fileURLToPath(new URL("programs/hub.ts", import.meta.url));
  const execArgv = ["--expose-gc", "--import", "tsx"];
  const child = fork(program, [JSON.stringify(options)], { execArgv, stdio: ["ignore", "inherit", "inherit", "ipc"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [url] = await once(child, "message");
  const ask = async (question: string): Promise<number> => {
    child.send(question);
    const [bytes] = await once(child, "message");
    return bytes;
  };
  return {
    url,
    async growth(attack) {
      const before = await ask("begin");
      await attack();
      return (await ask("end")) - before;
    },
    get isAlive() {
      return child.exitCode === null && child.signalCode === null;
    },
    kill: () => void child.kill("SIGKILL"),
  };
}

/** A member that has been let in, and speaks bytes. */
export interface Hostile {
  readonly ws: WebSocket;
  readonly net: NetSocket;
  readonly welcome: Welcome;
  /** Resolves when the hub has closed the connection. */
  readonly closed: Promise<{ code: number; reason: string }>;
  /** Sends one message, and resolves when the operating system has taken it or the connection has closed. */
  send(...parts: readonly Uint8Array[]): Promise<void>;
  /** Sends a message to the hub itself. */
  tell(message: object): Promise<void>;
}

export async function hostile(hub: { url: string }, fields: Partial<Hello> = {}): Promise<Hostile> {
  const raw = rawWebSocket(hub.url);
  await raw.first;
  const answered = once(raw.ws, "message");
  raw.ws.send(helloMessage(hello(fields)));
  const answer = decodeHandshake((await answered)[0], ["welcome", "refused"]);
  if (answer.type !== "welcome") throw new Error(answer.type === "refused" ? answer.reason : answer.type);
  const { ws, closed } = raw;
  const send = (...parts: readonly Uint8Array[]) =>
    new Promise<void>((resolve) => {
      ws.once("close", () => resolve());
      ws.send(Buffer.concat(parts), { binary: true }, () => resolve());
    });
  ws.setMaxListeners(0);
  // The connection, of which ws shows nothing.
  const { _socket: net } = ws as unknown as { _socket: NetSocket };
  return { ws, net, closed, welcome: answer.welcome, send, tell: (message) => send(...encodeHubFrame(message)) };
}

/**
 * Two members of a group of their own. While `attack` runs they exchange frames and count in their store; every byte and every
 * count must be right, and the group go on afterwards.
 */
export async function besideHealthyGroup(hub: { url: string }, attack: () => Promise<unknown>): Promise<void> {
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
  await round();
  let isOver = false;
  const going = (async () => {
    while (!isOver) await round();
  })();
  await Promise.all([attack().finally(() => (isOver = true)), going]);
  await round();
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

export { MIB };

/** What a peer does to a rank over a direct link, or a hub over a relayed one, by hand. */
import { connect as connectTcp } from "node:net";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { WebcclError } from "../../src/errors.ts";
import { HubConnection } from "../../src/link/hub/connection.ts";
import { HubLink } from "../../src/link/hub/link.ts";
import type { Link, Socket } from "../../src/link/link.ts";
import { WebSocketLink } from "../../src/link/websocket/link.ts";
import { Mesh } from "../../src/messaging/mesh.ts";
import { EAGER_BUDGET_BYTES } from "../../src/messaging/peer.ts";
import { HashStore, initProcessGroup } from "../../src/node/index.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import { listenWebSocket } from "../../src/node/websocket-server.ts";
import type { StoreValue } from "../../src/store/store.ts";
import { encodeControl } from "../../src/wire/control.ts";
import { FrameKind, type Header } from "../../src/wire/frame.ts";
import type { Welcome } from "../../src/wire/handshake.ts";
import { closeOf, dataFrame, hello } from "../hub/support.ts";
import { makeCertificate } from "./certificate.ts";

const MIB = 2 ** 20;
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/** A server that accepts whoever comes, and both ends of one connection to it. */
async function bothEnds(): Promise<{ ours: Socket; theirs: Socket; welcome: Welcome }> {
  let accepted: (socket: Socket) => void = () => {};
  const accepting = new Promise<Socket>((resolve) => {
    accepted = resolve;
  });
  const listener = await listenWebSocket({}, ({ worldSize }, socket) => {
    accepted(socket);
    return { rank: 1, worldSize, epoch: 0, hostRank: null, checksums: false };
  });
  onTestFinished(() => listener.close());
  const fields = hello({ rank: 1, purpose: "link" });
  const { socket, welcome } = await connectWebSocket(listener.url, fields, { timeoutMs: 5_000 });
  onTestFinished(() => socket.terminate());
  return { theirs: socket, ours: await accepting, welcome };
}

/** Links of rank 0 to rank 1, each with how rank 1, or a hub in its name, sends a frame. */
const LINKS: Record<string, () => Promise<{ link: Link; send(...parts: Uint8Array[]): void }>> = {
  direct: async () => {
    const { ours, theirs } = await bothEnds();
    theirs.onMessage = () => {};
    return { link: new WebSocketLink(ours, null, () => {}), send: (...parts) => theirs.send(parts) };
  },
  "rogue hub's": async () => {
    const { ours, theirs, welcome } = await bothEnds();
    ours.onMessage = () => {};
    const connection = new HubConnection(theirs, welcome, "ws://rogue");
    const link = new HubLink(connection, null);
    connection.start({
      ...{ onFrame: (header, payload) => link.deliver(header, payload), onFold: () => {}, onDamaged: () => {} },
      ...{ onLost: () => link.closed(), onLeft: () => link.closed(), onClosed: () => link.closed() },
    });
    return { link, send: (...parts) => ours.send(parts) };
  },
};

const GROUP = 77;
const early = encodeControl({ type: "leave" });

/** By name: the fields of a frame, its payload, how often it is sent, and why the group dies of it. */
const FLOODS: Record<string, [fields: Partial<Header>, payload: Uint8Array, times: number, reason: RegExp]> = {
  "of 120 times 8 MiB for a group that there is not": [{ group: 99 }, new Uint8Array(8 * MIB), 120, /more eager bytes/],
  "of 120 times 8 MiB for a group that there is": [{ group: GROUP }, new Uint8Array(8 * MIB), 120, /more eager bytes/],
  "of an epoch to come": [{ group: GROUP, epoch: 7 }, new Uint8Array(MIB), 40, /more eager bytes/],
  "of messages about groups that there are not": [
    { kind: FrameKind.CONTROL, group: 99 },
    early,
    Math.ceil((2 * EAGER_BUDGET_BYTES) / (early.length + 256)) + 10,
    /too much for groups/,
  ],
  "of another rank": [{ group: GROUP, peer: 5 }, new Uint8Array(4), 1, /a frame of rank 5/],
};

describe.each(Object.entries(LINKS))("S14 W14 W15 over a %s link, frames", (_kind, open) => {
  it.each(Object.entries(FLOODS))("%s end the link, and what was kept is bounded", async (_name, flood) => {
    const [fields, payload, times, reason] = flood;
    const { link, send } = await open();
    const mesh = new Mesh({ rank: 0, epoch: 0, links: new Map([[1, link]]), logger: SILENT });
    mesh.start();
    const died = new Promise<WebcclError>((resolve) => {
      mesh.open({ group: GROUP, name: "g", ranks: [0, 1], logger: SILENT, onDead: resolve });
    });
    const frame = dataFrame(1, payload.length, fields);
    for (let i = 0; i < times; i++) send(frame, payload);
    const cause = await died;
    expect(cause).toMatchObject({ code: "PEER_LOST", rank: 1 });
    expect(cause.message).toMatch(reason);
  });

  it("of an epoch that is over are dropped and counted", async () => {
    const { link, send } = await open();
    const mesh = new Mesh({ rank: 0, epoch: 3, links: new Map([[1, link]]), logger: SILENT });
    mesh.start();
    for (let i = 0; i < 20; i++) send(dataFrame(1, MIB, { group: GROUP, epoch: 2 }), new Uint8Array(MIB));
    await vi.waitFor(() => expect(mesh.droppedFrames).toBe(20), WAIT);
    expect(mesh.reaches(1)).toBe(true);
  });
});

/** Longer than a machine takes that is busy. */
const WAIT = { timeout: 20_000 };

/** A store that tells what is written to it. */
class OpenStore extends HashStore {
  readonly written = new Map<string, string>();

  override async set(key: string, value: StoreValue): Promise<void> {
    this.written.set(key, Buffer.from(value).toString("latin1"));
    await super.set(key, value);
  }

  override async compareSet(key: string, expected: StoreValue, desired: StoreValue): Promise<Uint8Array> {
    const value = await super.compareSet(key, expected, desired);
    this.written.set(key, Buffer.from(value).toString("latin1"));
    return value;
  }

  /** The first text that is like this in what was written. */
  async find(key: RegExp, like: RegExp): Promise<string> {
    return vi.waitFor(() => {
      for (const [name, text] of this.written) if (key.test(name) && like.test(text)) return like.exec(text)![0];
      throw new Error(`nothing like ${like} in ${[...this.written.keys()].join()}`);
    }, WAIT);
  }
}

describe("W7 a listening rank whose secret another has read", () => {
  it("refuses other purposes, sizes, ranks and groups, and a second holder of a rank", async () => {
    const store = new OpenStore();
    const options = { store, worldSize: 2, groupName: "job", transport: "websocket", timeoutMs: 20_000 } as const;
    const zero = initProcessGroup({ ...options, rank: 0 });
    const token = await store.find(/link-secret$/, /^[0-9a-f]{64}$/);
    const url = await store.find(/./, /ws:\/\/127\.0\.0\.1:\d+/);
    const refusalOf = (fields: Parameters<typeof hello>[0]) =>
      connectWebSocket(url, hello({ group: "job", rank: 1, purpose: "link", ...fields }), {
        timeoutMs: 5_000,
        token,
      }).then(
        ({ socket }) => {
          socket.terminate();
          return "let in";
        },
        (error: Error) => error.message,
      );
    const here = 'this address takes the links of rank 0 of group "job"';
    expect(await refusalOf({ purpose: "hub" })).toContain(`${here}, and nothing else`);
    expect(await refusalOf({ purpose: "store" })).toContain(`${here}, and nothing else`);
    expect(await refusalOf({ group: "other" })).toContain(`${here}, and nothing else`);
    expect(await refusalOf({ rank: 0 })).toContain("rank 0 is none");
    expect(await refusalOf({ rank: 65_536, worldSize: 2 })).toContain("rank 65536 is none");
    expect(await refusalOf({ worldSize: 3 })).toContain("world size is 2, and this rank says 3");
    const groups = await Promise.all([zero, initProcessGroup({ ...options, rank: 1 })]);
    expect(await refusalOf({})).toContain("rank 1 is already linked to rank 0: each rank must be started once");
    const tensors = groups.map(({ rank }) => Float32Array.of(rank + 1));
    await Promise.all(groups.map((group) => group.allReduce(tensors[group.rank]!)));
    expect(tensors.map(([sum]) => sum)).toEqual([3, 3]);
    await Promise.all(groups.map((group) => group.destroy()));
  });

  it("keeps no more for a socket that nobody listens to than a rank may send", async () => {
    const { ours, theirs } = await bothEnds();
    const closed = closeOf(theirs);
    for (let i = 0; i < 60; i++) theirs.send([new Uint8Array(15 * MIB)]);
    expect((await closed).code).toBe(1006);
    await vi.waitFor(() => expect(ours.isClosed).toBe(true), { timeout: 10_000 });
  });
});

describe("W11 a TLS connection that says nothing", () => {
  it("counts as a stranger's from the first moment, and is closed after 5 s", {
    timeout: 30_000,
  }, async () => {
    const listener = await listenWebSocket(
      { tls: makeCertificate(), maxPendingPerAddress: 20 },
      ({ worldSize }, socket) => {
        socket.onMessage = () => {};
        return { rank: 0, worldSize, epoch: 0, hostRank: null, checksums: false };
      },
    );
    onTestFinished(() => listener.close());
    const silent = Array.from({ length: 30 }, () => {
      const net = connectTcp(listener.port, "127.0.0.1");
      net.on("error", () => {});
      onTestFinished(() => void net.destroy());
      const since = performance.now();
      return new Promise<number>((resolve) => net.once("close", () => resolve(performance.now() - since)));
    });
    await vi.waitFor(() => expect(listener.pending).toBe(20));
    const lives = await Promise.all(silent);
    await vi.waitFor(() => expect(listener.pending).toBe(0));
    // The cap closed ten at once, and the limit on TLS the others.
    expect(lives.filter((ms) => ms > 4_000)).toHaveLength(20);
    expect(Math.max(...lives)).toBeLessThan(15_000);
  });
});

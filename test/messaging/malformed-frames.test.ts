/** Whatever a peer or a hub sends ends as an error of the group or of the link, over every kind of link. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { WebSocketServer } from "ws";
import { HubLostError, WebcclError } from "../../src/errors.ts";
import { HubConnection } from "../../src/link/hub/connection.ts";
import { HubLink } from "../../src/link/hub/link.ts";
import type { Link, Socket } from "../../src/link/link.ts";
import { MemoryLink } from "../../src/link/memory/link.ts";
import { splitFrame } from "../../src/link/payload/fragments.ts";
import { WebSocketLink } from "../../src/link/websocket/link.ts";
import { Mesh } from "../../src/messaging/mesh.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import { listenWebSocket } from "../../src/node/websocket-server.ts";
import { encodeMessage, type GroupMessage, type MeshMessage } from "../../src/wire/control-messages.ts";
import { encodeHeader, type Fingerprint, FrameFlag, FrameKind, type Header, HUB_PEER } from "../../src/wire/frame.ts";
import { encodeHandshake, makeNonce } from "../../src/wire/handshake.ts";
import { encodeHubFrame } from "../../src/wire/hub-frame.ts";
import { drawn, mutated } from "../helpers/mutations.ts";
import { hello, helloMessage, join, joinConnection, openHub, rawWebSocket } from "../hub/support.ts";

const GROUP = 77;
const CALL: Fingerprint = {
  ...{ collective: 0, dtype: 10, op: 0, root: 0xffffffff, count: 5 },
  ...{ detail: 0, customOp: 0, algorithm: 1, segmentBytes: 65_536, refused: 0, persistent: 0, ahead: 0 },
};
const ERROR = { code: "MISMATCH" as const, message: "count differs", details: { group: "g", sequence: 1 } };

/** One whole frame. */
function frame(
  fields: Partial<Header>,
  payload: Uint8Array = new Uint8Array(0),
  fingerprint: Fingerprint | null = null,
) {
  const rest = { flags: 0, peer: 0, epoch: 0, slot: 0, group: GROUP, sequence: 1, request: 0 };
  const header = { kind: FrameKind.CONTROL, ...rest, ...fields, payloadBytes: payload.byteLength };
  return Uint8Array.from(Buffer.concat([encodeHeader(header, fingerprint), payload]));
}

const GROUP_MESSAGES: GroupMessage[] = [
  { type: "mismatch", sequence: 1, error: ERROR },
  { type: "verdict", sequence: 1, error: ERROR },
  { type: "point-to-point-ready", sequence: 1 },
  { type: "point-to-point-mismatch", sequence: 1, error: ERROR },
  { type: "abort", error: ERROR },
  { type: "probe", id: 3, sequence: 1 },
  { type: "probe-reply", id: 3, entered: true, waitingFor: [0, 1] },
];
const MESH_MESSAGES: MeshMessage[] = [{ type: "goodbye" }, { type: "lost", rank: 1, reason: "its link closed" }];

/** Towards a hub `peer` is the destination, on a direct link the source. */
const peerFrames = (peer: number) => [
  ...GROUP_MESSAGES.map((message) => frame({ peer }, encodeMessage(message))),
  ...MESH_MESSAGES.map((message) => frame({ peer, group: 0 }, encodeMessage(message))),
  ...[FrameKind.DATA, FrameKind.REQUEST, FrameKind.ANNOUNCE].flatMap((kind) => [
    frame({ peer, kind }, new Uint8Array(20), CALL),
    frame({ peer, kind, flags: FrameFlag.POINT_TO_POINT }, new Uint8Array(20), CALL),
  ]),
  frame({ peer, kind: FrameKind.DATA, flags: FrameFlag.GRANTED, request: 1 }, new Uint8Array(20)),
  frame({ peer, kind: FrameKind.CLEAR, request: 1 }),
  frame({ peer, kind: FrameKind.CONSUMED, request: 60, group: 0 }),
];

/** Errors that nobody caught. */
const uncaught: unknown[] = [];
const note = (error: unknown) => uncaught.push(error);
beforeAll(() => {
  process.on("uncaughtException", note).on("unhandledRejection", note);
});
afterAll(() => {
  process.off("uncaughtException", note).off("unhandledRejection", note);
});
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** The link of rank 0, and how rank 1 sends bytes of its own making and ends it. */
interface Ends {
  link: Link;
  send(bytes: Uint8Array): void;
  end(): void;
}

const send = (socket: Socket) => (bytes: Uint8Array) => socket.send([bytes]);

const LINKS: Record<string, { draws: number; peer: number; open(): Promise<Ends> }> = {
  memory: {
    ...{ draws: 600, peer: 1 },
    async open() {
      const [link, other] = MemoryLink.pair(null, null);
      const send = (bytes: Uint8Array) => {
        try {
          const { head, payload } = splitFrame([bytes]);
          other.send(head, payload.toBytes());
        } catch {
          other.send(bytes, null);
        }
      };
      return { link, send, end: () => other.close() };
    },
  },
  websocket: {
    ...{ draws: 150, peer: 1 },
    async open() {
      let accepted: (socket: Socket) => void = () => {};
      const accepting = new Promise<Socket>((resolve) => {
        accepted = resolve;
      });
      const listener = await listenWebSocket({}, ({ worldSize }, socket) => {
        accepted(socket);
        return { rank: 1, worldSize, epoch: 0, hostRank: null, checksums: false };
      });
      onTestFinished(() => listener.close());
      const { socket } = await connectWebSocket(listener.url, hello({ rank: 1, purpose: "link" }), {
        timeoutMs: 5_000,
      });
      return {
        link: new WebSocketLink(await accepting, null, () => {}),
        send: send(socket),
        end: () => socket.terminate(),
      };
    },
  },
  hub: {
    ...{ draws: 150, peer: 0 },
    async open() {
      const hub = await openHub();
      const { socket, welcome } = await join(hub);
      const { socket: raw } = await join(hub, { rank: 1 });
      const connection = new HubConnection(socket, welcome, hub.url);
      const link = new HubLink(connection, null);
      connection.start({
        onFrame: (header, payload) => link.deliver(header, payload),
        onFold: () => {},
        onDamaged: () => {},
        onLost: () => link.closed(),
        onLeft: () => link.closed(),
        onClosed: () => link.closed(),
      });
      return { link, send: send(raw), end: () => raw.terminate() };
    },
  },
};

describe.each(Object.entries(LINKS))("a %s link", (_kind, { draws, peer, open }) => {
  it("carries whatever comes to a group that is then whole or dead, and says which", { timeout: 120_000 }, async () => {
    const reasons: string[] = [];
    const run = async (messages: readonly Uint8Array[]) => {
      const { link, send, end } = await open();
      const logged: unknown[] = [];
      const logger = { debug() {}, info() {}, warn() {}, error: (...parts: unknown[]) => logged.push(parts) };
      const mesh = new Mesh({ rank: 0, epoch: 0, links: new Map([[1, link]]), logger });
      const dead = new Promise<WebcclError>((resolve) => {
        const options = { group: GROUP, name: "g", ranks: [0, 1], logger, onDead: resolve };
        // Some frames come before the group is there.
        mesh.start();
        send(messages[0]!);
        const channel = mesh.open(options);
        const call = channel.open(1, CALL);
        channel.agree(call).then(
          () => channel.peerLost(1, "the call ended"),
          (error) => {
            expect(error).toBeInstanceOf(WebcclError);
            // A verdict ends the call and not the group.
            if (!channel.dead) channel.peerLost(1, "the call failed");
          },
        );
      });
      for (const message of messages.slice(1)) send(message);
      await settled();
      end();
      const cause = await dead;
      expect(cause).toBeInstanceOf(WebcclError);
      reasons.push(cause.message);
    };
    const cases = drawn(mutated(peerFrames(peer)), 3 * draws);
    for (let i = 0; i < cases.length; i += 30) {
      const batch = cases.slice(i, i + 30);
      await Promise.all(Array.from({ length: batch.length / 3 }, (_, k) => run(batch.slice(3 * k, 3 * k + 3))));
    }
    await settled();
    expect(uncaught).toEqual([]);
    expect(reasons).toHaveLength(draws);
    expect(
      reasons.filter((reason) => /broke the protocol|link closed|its connection/.test(reason)).length,
    ).toBeGreaterThan(draws / 10);
  });
});

describe("a hub", () => {
  const HUB_MESSAGES = [
    { type: "call", id: 7, op: "set", args: ["key", new Uint8Array(9)] },
    { type: "call", id: 8, op: "get", args: ["other", 5] },
    {
      type: "call",
      id: 9,
      op: "multiSet",
      args: [
        ["a", "b"],
        [new Uint8Array(1), new Uint8Array(2)],
      ],
    },
    { type: "call", id: 10, op: "add", args: ["n", 1] },
    { type: "call", id: 11, op: "queuePop", args: ["queue", false, 5] },
    { type: "group", group: GROUP, ranks: [0, 1] },
    { type: "group-end", group: GROUP },
    { type: "cancel", group: GROUP, sequence: 1 },
    { type: "goodbye", cause: ERROR },
  ];
  const FRAMES = [
    ...HUB_MESSAGES.map((message) => Uint8Array.from(Buffer.concat(encodeHubFrame(message)))),
    frame({ kind: FrameKind.FOLD, peer: HUB_PEER, request: 3 }, new Uint8Array(20), CALL),
  ];

  it("outlives whatever a member sends, and serves the other groups", { timeout: 60_000 }, async () => {
    const hub = await openHub();
    for (const [i, message] of drawn(mutated(FRAMES), 200).entries()) {
      const { socket } = await join(hub, { group: `g${i}`, rank: 1 });
      socket.send([FRAMES[5]!]);
      socket.send([message]);
      socket.close();
    }
    const { connection } = await joinConnection(hub, { group: "well" });
    await connection.call("set", ["key", new Uint8Array([1])], 5_000);
    expect(await connection.call("get", ["key", 100], 5_000)).toEqual(new Uint8Array([1]));
    expect(uncaught).toEqual([]);
  });

  it("that breaks the protocol is lost, and every pending call with it", { timeout: 60_000 }, async () => {
    const answers = [
      { type: "result", id: 0, ok: new Uint8Array(4) },
      { type: "result", id: 0, error: ERROR },
      { type: "lost", rank: 1, reason: "its connection closed" },
      { type: "left", rank: 1, cause: ERROR },
    ].map((message) => Uint8Array.from(Buffer.concat(encodeHubFrame(message))));
    const accepted: Socket[] = [];
    const listener = await listenWebSocket({}, ({ worldSize }, socket) => {
      accepted.push(socket);
      return { rank: 0, worldSize, epoch: 0, hostRank: null, checksums: false };
    });
    onTestFinished(() => listener.close());
    const outcomes: string[] = [];
    for (const answer of drawn(mutated([...answers, frame({ kind: FrameKind.FOLD, peer: HUB_PEER })]), 200)) {
      const { socket, welcome } = await connectWebSocket(listener.url, hello(), { timeoutMs: 5_000 });
      const hub = accepted.pop()!;
      hub.onMessage = () => {};
      const connection = new HubConnection(socket, welcome, listener.url);
      const pending = connection.call("get", ["key"], 5_000).then(
        () => "answered",
        (error: Error) => error.name,
      );
      hub.send([answer]);
      hub.close(1001, "hub closed");
      outcomes.push(await pending);
      socket.terminate();
    }
    expect(outcomes.filter((name) => !["answered", "HubLostError", "MismatchError"].includes(name))).toEqual([]);
    expect(outcomes.filter((name) => name === HubLostError.name).length).toBeGreaterThan(50);
    expect(uncaught).toEqual([]);
  });
});

describe("a handshake", () => {
  const CHALLENGE = encodeHandshake({ type: "challenge", nonce: makeNonce() });
  const WELCOME = encodeHandshake({
    type: "welcome",
    welcome: { rank: 0, worldSize: 2, epoch: 0, hostRank: null, checksums: false },
    ...{ resume: null, proof: new Uint8Array(32) },
  });
  const REFUSED = encodeHandshake({ type: "refused", reason: "full", retry: false });

  it.each([undefined, "a token"])("of a malformed hub rejects the connecting rank (token: %s)", async (token) => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    onTestFinished(() => void server.close());
    const script = drawn(mutated([CHALLENGE, WELCOME, REFUSED]), 200).entries();
    server.on("connection", (ws) => {
      const [i, first] = script.next().value ?? [0, CHALLENGE];
      const wellBegun = i % 2 === 0;
      ws.send(wellBegun ? CHALLENGE : first);
      ws.on("message", () => {
        ws.send(wellBegun ? first : WELCOME);
        ws.close(1008);
      });
      if (!wellBegun) ws.close(1008);
    });
    await new Promise((resolve) => server.once("listening", resolve));
    const url = `ws://127.0.0.1:${(server.address() as { port: number }).port}`;
    for (let i = 0; i < 100; i++) {
      const joined = await connectWebSocket(url, hello(), { timeoutMs: 2_000, token }).catch((error) => error);
      if ("socket" in joined) joined.socket.terminate();
      else expect(joined).toBeInstanceOf(WebcclError);
    }
    expect(uncaught).toEqual([]);
  });

  it.each([undefined, "a token"])("of a malformed rank is refused, and the hub goes on (token: %s)", async (token) => {
    const hub = await openHub({ token });
    for (const message of drawn(mutated([helloMessage(hello(), token === undefined ? {} : { token })]), 100)) {
      const raw = rawWebSocket(hub.url);
      await raw.first;
      raw.ws.send(message);
      // Spoken before the answer.
      raw.ws.send(message);
      expect([1002, 1008]).toContain((await raw.closed).code);
    }
    expect((await join(hub, { group: "well" }, token)).welcome.rank).toBe(0);
    expect(uncaught).toEqual([]);
  });
});

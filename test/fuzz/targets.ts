/**
 * Targets: what the fuzzer attacks, each with real parts over real sockets. A session begins as the rules say, and goes on as
 * they say for the most part; its end shows that the other side is as it should be.
 */
import { once } from "node:events";
import { connect, type Socket as NetSocket } from "node:net";
import { WebSocket } from "ws";
import { PeerLostError, type WebcclError } from "../../src/errors.ts";
import { HubConnection } from "../../src/link/hub/connection.ts";
import { HubLink } from "../../src/link/hub/link.ts";
import type { Link, Socket } from "../../src/link/link.ts";
import { WebSocketLink } from "../../src/link/websocket/link.ts";
import { Mesh } from "../../src/messaging/mesh.ts";
import { startHub } from "../../src/node/hub.ts";
import { encodeQuery, FORMS, Op, VALIDATE_BYTES } from "../../src/node/tcp-store/queries.ts";
import { TcpServer } from "../../src/node/tcp-store/tcp-server.ts";
import { TcpStore } from "../../src/node/tcp-store/tcp-store.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import { listenWebSocket } from "../../src/node/websocket-server.ts";
import { HubStore } from "../../src/store/hub-store.ts";
import { decodeHandshake, encodeHandshake, type Hello, makeNonce } from "../../src/wire/handshake.ts";
import { encodeHubFrame } from "../../src/wire/hub-frame.ts";
import { CALL, type Draws, GROUP, PART_BYTES, webSocketFrame } from "./draws.ts";
import { Heard } from "./heard.ts";

export interface Target {
  /** One session of drawn messages. Returns how many were sent; rejects if the other side is not as it should be. */
  session(draws: Draws): Promise<number>;
  /** A right use of the same server by somebody else, whose values must be right. */
  healthy(): Promise<void>;
  close(): Promise<unknown>;
}

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
/** Within this time whatever is alive answers, on a machine that is busy too. */
const ANSWER_MS = 20_000;

const helloOf = (fields: Partial<Hello>): Hello => {
  return { group: "g", rank: 0, worldSize: 4, purpose: "hub", checksums: false, ...fields };
};

/** Rejects if the promise does not settle in time. */
async function settles<T>(promise: Promise<T>, name: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${name} within ${ANSWER_MS} ms`)), ANSWER_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** How many messages a session has, and of how many one is not as it should be: after that one the rest may be ignored. */
function lengthOf(draws: Draws): { count: number; mutatedOf: number } {
  const mutatedOf = draws.random.pick([5, 20, 100, 400]);
  return { count: 5 + draws.random.below(2 * mutatedOf), mutatedOf };
}

function expectEqual(actual: unknown, wanted: unknown): void {
  if (actual !== wanted) throw new Error(`a healthy group got ${String(actual)} instead of ${String(wanted)}`);
}

/** A socket that `ws` has upgraded, for bytes of any kind. Each message that comes is given to `onMessage`. */
async function rawSocket(url: string): Promise<{ ws: WebSocket; net: NetSocket; closed: Promise<unknown> }> {
  const ws = new WebSocket(url, { perMessageDeflate: false });
  ws.on("error", () => {});
  const closed = new Promise((resolve) => ws.once("close", resolve));
  await Promise.race([once(ws, "message"), closed]);
  const { _socket: net } = ws as unknown as { _socket: NetSocket };
  return { ws, net, closed };
}

/** Writes messages in pieces that are cut anywhere. */
function writeCut(net: NetSocket, draws: Draws, frames: readonly Buffer[]): void {
  const bytes = Buffer.concat(frames);
  for (let at = 0; at < bytes.length; ) {
    const end = at + (draws.chance(4) ? 1 + draws.random.below(200) : bytes.length);
    net.write(bytes.subarray(at, end));
    at = end;
  }
}

/** A drawn message as a frame of WebSocket, now and then with other bytes of WebSocket's own. */
function asFrame(draws: Draws, message: Uint8Array, mutatedOf: number): Buffer[] {
  const frame = webSocketFrame(draws.maybeMutated(message, mutatedOf));
  const kind = draws.random.below(4 * mutatedOf);
  if (kind === 0) return [Buffer.from(draws.mutated(frame))];
  if (kind === 1) return [webSocketFrame(draws.bytes(40), 0x89), frame];
  if (kind === 2) return [webSocketFrame(message.subarray(0, 9), 0x02), webSocketFrame(message.subarray(9), 0x80)];
  return [frame];
}

/** A hub, with a member that sends anything, another that is one of our clients, and a healthy group. */
async function hubTarget(): Promise<Target> {
  const hub = await startHub({ port: 0 });
  const join = async (fields: Partial<Hello>) => {
    const { socket, welcome } = await connectWebSocket(hub.url, helloOf(fields), { timeoutMs: ANSWER_MS });
    return new HubConnection(socket, welcome, hub.url);
  };
  const store = new HubStore(await join({ group: "healthy" }));
  let sessions = 0;
  let sum = 0;
  return {
    async session(draws) {
      const group = `fuzzed ${sessions++}`;
      const quiet = await join({ group, rank: 0 });
      const rank = rankUnderTest(hubLink(quiet));
      const { ws, net, closed } = await rawSocket(hub.url);
      const said = { type: "hello", hello: helloOf({ group, rank: 1 }), ticket: null, proof: null } as const;
      ws.send(encodeHandshake({ ...said, nonce: makeNonce() }));
      await Promise.race([once(ws, "message"), closed]);
      const { count, mutatedOf } = lengthOf(draws);
      const messages = Array.from({ length: count }, () => draws.toHub(1));
      writeCut(
        net,
        draws,
        messages.flatMap((message) => asFrame(draws, message, mutatedOf)),
      );
      // Answered after all that came before, unless the connection is closed for it.
      const [header, payload] = encodeHubFrame({ type: "call", id: 2 ** 40, op: "numKeys", args: [] });
      const last = Buffer.concat([header, payload]);
      net.write(webSocketFrame(last));
      const answered = new Promise<void>((resolve) => {
        ws.on("message", (data: Buffer) => data.includes(NUM_KEYS_ID) && resolve());
      });
      await settles(Promise.race([answered, closed]), "the hub answers or closes");
      ws.terminate();
      await rank.end();
      quiet.terminate();
      return count;
    },
    async healthy() {
      sum += 3;
      expectEqual(await store.add("sum", 3), sum);
    },
    close: () => hub.close(),
  };
}

/** The id of the last call, 2^40, as it stands in the answer: a float of 64 bits. */
const NUM_KEYS_ID = Buffer.from([0xcb, 0x42, 0x70, 0, 0, 0, 0, 0, 0]);

function hubLink(connection: HubConnection): Link {
  const link = new HubLink(connection, null);
  connection.start({
    onFrame: (header, payload) => link.deliver(header, payload),
    onFold: () => {},
    onDamaged: () => link.closed(),
    onLost: () => link.closed(),
    onLeft: () => link.closed(),
    onClosed: () => link.closed(),
  });
  return link;
}

/**
 * Rank 0 of a group, which makes calls; its peer is rank 1. Its group must be whole or dead in the end, and each part that a call got
 * be among those that were `heard`, where all of them are known.
 */
function rankUnderTest(link: Link, heard: Heard | null = null): { end(): Promise<void> } {
  const mesh = new Mesh({ rank: 0, epoch: 0, links: new Map([[1, link]]), logger: SILENT });
  mesh.start();
  let die: (cause: WebcclError) => void = () => {};
  const died = new Promise<WebcclError>((resolve) => {
    die = resolve;
  });
  const channel = mesh.open({ group: GROUP, name: "g", ranks: [0, 1], logger: SILENT, onDead: die });
  const calls: Promise<unknown>[] = [];
  const got: Promise<unknown>[] = [];
  for (let sequence = 1; sequence <= 6; sequence++) {
    const call = channel.open(sequence, CALL);
    const part = new Uint8Array(PART_BYTES);
    const received = call.recv(1, part, 0);
    got.push(
      received.then(
        () => heard?.expectPart(sequence, 0, part),
        () => {},
      ),
    );
    calls.push(channel.agree(call), received, call.send(1, new Uint8Array(PART_BYTES), 0));
  }
  calls.push(channel.pointToPoint.match(1, 1, { ...CALL, root: 1 }));
  const settled = Promise.allSettled(calls);
  // Who waits for it hears of a wrong part; nobody else does before.
  const right = Promise.all(got);
  right.catch(() => {});
  return {
    async end() {
      channel.peerLost(1, "the session is over");
      const cause = await settles(died, "the group dies");
      if (!(cause instanceof PeerLostError) && !("code" in cause)) throw new Error(`a group died of ${String(cause)}`);
      await settles(settled, "every call of a dead group settles");
      await right;
    },
  };
}

/** A rank that takes a direct link. */
async function rankTarget(): Promise<Target> {
  const accepted: ((socket: Socket) => void)[] = [];
  const listener = await listenWebSocket({}, ({ worldSize }, socket) => {
    accepted.shift()?.(socket);
    return { rank: 1, worldSize, epoch: 0, hostRank: null, checksums: false };
  });
  const linked = async () => {
    const accepting = new Promise<Socket>((resolve) => accepted.push(resolve));
    const { socket } = await connectWebSocket(listener.url, helloOf({ rank: 1, purpose: "link" }), {
      timeoutMs: ANSWER_MS,
    });
    return { socket, link: new WebSocketLink(await accepting, null, () => {}) };
  };
  return {
    async session(draws) {
      const { socket, link } = await linked();
      socket.onMessage = () => {};
      const heard = new Heard();
      const rank = rankUnderTest(link, heard);
      const { count, mutatedOf } = lengthOf(draws);
      const sent: Promise<void>[] = [];
      for (let i = 0; i < count; i++) {
        const message = draws.maybeMutated(draws.toPeer(1), mutatedOf);
        heard.add(message);
        sent.push(new Promise((resolve) => socket.send([message], resolve)));
      }
      await settles(Promise.all(sent), "the rank reads");
      socket.close();
      await settles(new Promise((resolve) => (socket.onClose = resolve)), "the rank closes");
      await rank.end();
      return count;
    },
    healthy: async () => {},
    close: () => listener.close(),
  };
}

/** A rank whose hub sends anything. */
async function clientTarget(): Promise<Target> {
  const accepted: Socket[] = [];
  const listener = await listenWebSocket({}, ({ worldSize }, socket) => {
    socket.onMessage = () => {};
    accepted.push(socket);
    return { rank: 0, worldSize, epoch: 0, hostRank: null, checksums: false };
  });
  return {
    async session(draws) {
      const { socket, welcome } = await connectWebSocket(listener.url, helloOf({}), { timeoutMs: ANSWER_MS });
      const connection = new HubConnection(socket, welcome, listener.url);
      const heard = new Heard();
      const calls = Array.from({ length: 8 }, () => connection.call("get", ["key", 1], ANSWER_MS));
      const settled = Promise.allSettled(calls);
      const rank = rankUnderTest(hubLink(connection), heard);
      const hub = accepted.pop()!;
      const { count, mutatedOf } = lengthOf(draws);
      for (let i = 0; i < count; i++) {
        const message = draws.maybeMutated(draws.fromHub(), mutatedOf);
        heard.add(message);
        hub.send([message]);
      }
      hub.close(1001, "hub closed");
      const outcomes = await settles(settled, "every call of a store settles");
      for (const [id, outcome] of outcomes.entries()) {
        if (outcome.status === "fulfilled") heard.expectResult(id, outcome.value);
      }
      await rank.end();
      socket.terminate();
      return count;
    },
    healthy: async () => {},
    close: () => listener.close(),
  };
}

/** A hub with a token, before the proof. */
async function handshakeTarget(): Promise<Target> {
  const hub = await startHub({ port: 0, token: "right" });
  let rank = 0;
  return {
    async session(draws) {
      const { ws, net, closed } = await rawSocket(hub.url);
      let isLetIn = false;
      ws.on("message", (data: Buffer) => {
        isLetIn ||= decodeHandshake(data, ["welcome", "refused"]).type === "welcome";
      });
      const hello = { ...helloOf({ rank: 1 }), ...(draws.chance(2) ? { worldSize: draws.number() } : {}) };
      const proof = draws.chance(2) ? null : draws.bytes(40);
      const nonce = draws.chance(2) ? makeNonce() : draws.bytes(40);
      const ticket = draws.chance(2) ? null : draws.bytes(40);
      const message = draws.maybeMutated(encodeHandshake({ type: "hello", hello, nonce, ticket, proof }), 2);
      writeCut(net, draws, [...asFrame(draws, message, 4), ...asFrame(draws, draws.toHub(1), 4)]);
      // Half a frame would be waited for, until the time for the hello is over.
      net.end();
      await settles(closed, "the hub refuses");
      ws.terminate();
      if (isLetIn) throw new Error("a stranger was let in");
      return 2;
    },
    async healthy() {
      const fields = helloOf({ group: `healthy ${rank++}` });
      const { socket, welcome } = await connectWebSocket(hub.url, fields, { timeoutMs: ANSWER_MS, token: "right" });
      expectEqual(welcome.rank, 0);
      socket.terminate();
    },
    close: () => hub.close(),
  };
}

/** A server of a TCPStore, in both dialects. */
async function tcpStoreTarget(): Promise<Target> {
  const server = await TcpServer.open({ host: "127.0.0.1", port: 0 });
  const store = await TcpStore.connect({ port: server.port });
  let sum = 0;
  const text = (value: string) => Buffer.from(value);
  const query = (draws: Draws, dialect: "1.x" | "2.x", mutatedOf: number): Uint8Array => {
    const { random } = draws;
    const ops = dialect === "1.x" ? [1, 2, 3, 4, 5, 6, 7, 8] : Object.values(Op).slice(1);
    const op = random.pick(ops) as Op;
    const form = FORMS[op]!;
    const items = form.isList ? random.below(4) : 1;
    const strings = Array.from({ length: items * form.strings }, (_, i) =>
      i % form.strings === 0 ? text(`/fuzz/${random.below(4)}`) : Buffer.from(draws.bytes(60)),
    );
    const bytes = encodeQuery(op, dialect, strings, BigInt(random.below(5)));
    return draws.maybeMutated(bytes, mutatedOf);
  };
  return {
    async session(draws) {
      const dialect = draws.chance(2) ? "1.x" : "2.x";
      const net = connect(server.port, "127.0.0.1");
      net.on("error", () => {});
      net.resume();
      const closed = new Promise((resolve) => net.once("close", resolve));
      const { count, mutatedOf } = lengthOf(draws);
      const queries = Array.from({ length: count }, () => Buffer.from(query(draws, dialect, mutatedOf)));
      const begin = dialect === "2.x" ? [Buffer.from(VALIDATE_BYTES)] : [];
      writeCut(net, draws, [...begin, ...queries]);
      net.end();
      await settles(closed, "the server closes");
      return count;
    },
    async healthy() {
      sum += 3;
      expectEqual(await store.add("sum", 3), sum);
    },
    async close() {
      await store.close();
      await server.close();
    },
  };
}

export const TARGETS: Readonly<Record<string, () => Promise<Target>>> = {
  ...{
    hub: hubTarget,
    rank: rankTarget,
    client: clientTarget,
    handshake: handshakeTarget,
    "tcp-store": tcpStoreTarget,
  },
};

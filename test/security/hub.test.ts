/** The lines of the security table that a hub and its admission keep, over real sockets. */
import { connect as connectNet } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { AdmissionError, HubLostError } from "../../src/errors.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import { HubStore } from "../../src/store/hub-store.ts";
import { encodeControl } from "../../src/wire/control.ts";
import { HUB_PEER } from "../../src/wire/frame.ts";
import { decodeHandshake, encodeHandshake, makeNonce } from "../../src/wire/handshake.ts";
import { encodeHubFrame } from "../../src/wire/hub-frame.ts";
import {
  closeOf,
  dataFrame,
  hello,
  helloMessage,
  join,
  joinConnection,
  nonceIn,
  openHub,
  proofOf,
  rawTcp,
  rawWebSocket,
} from "../hub/support.ts";

const MIB = 2 ** 20;
const within = async (ms: number, event: Promise<unknown>) => {
  const started = performance.now();
  await event;
  expect(performance.now() - started).toBeLessThan(ms);
};
const refusedText = (bytes: Buffer) => decodeHandshake(bytes, ["refused"]);

describe("S4 wrong or missing token", () => {
  it("is closed within 1 s with a generic reason, and makes no group", async () => {
    const hub = await openHub({ token: "right" });
    const nonces = { challenge: makeNonce(), hello: makeNonce() };
    const { hello: nonce } = nonces;
    for (const proof of [null, proofOf("wrong", nonces, hello()), new Uint8Array(0)]) {
      const raw = rawWebSocket(hub.url);
      await raw.first;
      raw.ws.send(encodeHandshake({ type: "hello", hello: hello(), nonce, ticket: null, proof }));
      await within(1_000, raw.closed);
      expect(await raw.closed).toEqual({ code: 1008, reason: "refused" });
      expect(raw.messages.slice(1).map(refusedText)).toEqual([{ type: "refused", reason: "refused", retry: false }]);
    }
    expect(hub.stats).toMatchObject({ rooms: 0, members: 0 });
  });

  it("tells the user of the library what to check, and nothing of the token", async () => {
    const hub = await openHub({ token: "right-token" });
    const wrong = join(hub, {}, "wrong-token");
    await expect(wrong).rejects.toThrow(AdmissionError);
    await expect(wrong).rejects.toThrow(/WEBCCL_TOKEN/);
    await expect(wrong).rejects.not.toThrow(/right-token|wrong-token/);
    await expect(join(hub)).rejects.toThrow(/asks for a token/);
    expect((await join(hub, {}, "right-token")).welcome.rank).toBe(0);
  });

  it("gets no other reason for a malformed, oversized or early message", async () => {
    const hub = await openHub({ token: "right" });
    const bad = [
      new Uint8Array(0),
      new Uint8Array([0xc1]),
      encodeControl({ type: "hello" }),
      new Uint8Array(40).fill(0xcc),
    ];
    for (const message of bad) {
      const raw = rawWebSocket(hub.url);
      await raw.first;
      raw.ws.send(message);
      await within(1_000, raw.closed);
      expect(await raw.closed).toEqual({ code: 1008, reason: "refused" });
    }
  });
});

describe("S5 the token", () => {
  it("never crosses the wire, and a subprotocol is not echoed", async () => {
    const token = "a-token-that-must-not-be-seen";
    const hub = await openHub({ token });
    const raw = rawWebSocket(hub.url);
    const message = helloMessage(hello(), { token, challenge: nonceIn(await raw.first) });
    expect(Buffer.from(message).includes(token)).toBe(false);
    const { net, closed } = rawTcp(hub.port);
    const key = Buffer.alloc(16).toString("base64");
    net.write(
      `GET / HTTP/1.1\r\nHost: 127.0.0.1:${hub.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: ${token}\r\n\r\n`,
    );
    const answer = await new Promise<string>((resolve) => net.once("data", (data) => resolve(data.toString("latin1"))));
    expect(answer).toContain("101 Switching Protocols");
    expect(answer).not.toContain(token);
    net.destroy();
    expect(await closed).not.toContain(token);
  });

  it("has no place in a URL", async () => {
    const options = { timeoutMs: 100 };
    for (const url of ["ws://127.0.0.1:1/g?token=secret", "ws://user:secret@127.0.0.1:1/g"]) {
      await expect(connectWebSocket(url, hello(), options)).rejects.toThrow(TypeError);
      await expect(connectWebSocket(url, hello(), options)).rejects.not.toThrow(/secret/);
    }
  });
});

describe("S6 a recorded handshake", () => {
  it("is refused when played again", async () => {
    const hub = await openHub({ token: "right" });
    const honest = rawWebSocket(hub.url);
    const recorded = helloMessage(hello(), { token: "right", challenge: nonceIn(await honest.first) });
    const welcomed = new Promise<Buffer>((resolve) => honest.ws.once("message", (data: Buffer) => resolve(data)));
    honest.ws.send(recorded);
    expect(decodeHandshake(await welcomed, ["welcome", "refused"]).type).toBe("welcome");
    honest.ws.close();
    await honest.closed;
    const replay = rawWebSocket(hub.url);
    await replay.first;
    replay.ws.send(recorded);
    expect(await replay.closed).toEqual({ code: 1008, reason: "refused" });
    expect(hub.stats.members).toBe(0);
  });
});

describe("S7 silence", () => {
  it("without a hello is closed after 5 s, half-sent HTTP headers too", { timeout: 12_000 }, async () => {
    const hub = await openHub();
    const silent = rawWebSocket(hub.url);
    const half = rawTcp(hub.port);
    half.net.write("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: webso");
    await silent.first;
    await within(7_000, Promise.all([silent.closed, half.closed]));
    expect(await silent.closed).toEqual({ code: 1008, reason: "refused" });
    expect(await half.closed).toMatch(/^(HTTP\/1.1 408 .*)?/);
  });

  it("is measured from the connection: other bytes do not extend it", async () => {
    const hub = await openHub({ helloTimeoutMs: 100 });
    const raw = rawWebSocket(hub.url);
    await raw.first;
    const pings = setInterval(() => raw.ws.readyState === raw.ws.OPEN && raw.ws.ping(), 10);
    expect((await raw.closed).code).toBe(1008);
    clearInterval(pings);
  });
});

describe("S8 before authentication", () => {
  it("a message above 4 KiB is refused", async () => {
    const hub = await openHub();
    const raw = rawWebSocket(hub.url);
    await raw.first;
    raw.ws.send(encodeControl({ type: "hello", version: 2, ...hello(), proof: null, padding: "x".repeat(4_096) }));
    expect(await raw.closed).toEqual({ code: 1008, reason: "refused" });
    expect(hub.stats.rooms).toBe(0);
  });

  it("a message that never ends is cut off after a few KiB", async () => {
    const hub = await openHub();
    const raw = rawWebSocket(hub.url);
    await raw.first;
    let sent = 0;
    const flood = () => {
      if (raw.ws.readyState !== raw.ws.OPEN || sent > 64 * MIB) return;
      sent += 4_096;
      raw.ws.send(new Uint8Array(4_096), { binary: true, fin: false }, () => flood());
    };
    flood();
    expect((await raw.closed).code).toBe(1006);
    expect(sent).toBeLessThan(16 * MIB);
  });

  it("a second message after a refused one changes nothing", async () => {
    const hub = await openHub({ token: "right" });
    const raw = rawWebSocket(hub.url);
    const challenge = nonceIn(await raw.first);
    raw.ws.send(helloMessage(hello()));
    raw.ws.send(helloMessage(hello(), { token: "right", challenge }));
    expect((await raw.closed).code).toBe(1008);
    expect(hub.stats.members).toBe(0);
  });

  it("connections of one address are capped: the oldest goes, and not a member that comes", async () => {
    const hub = await openHub({ maxPendingPerAddress: 3 });
    const waiting = [1, 2, 3].map(() => rawWebSocket(hub.url));
    await Promise.all(waiting.map(({ first }) => first));
    expect((await join(hub)).welcome.rank).toBe(0);
    expect((await waiting[0]!.closed).code).toBe(1006);
    // A member that is in counts no longer.
    const next = rawWebSocket(hub.url);
    await next.first;
    expect(waiting.slice(1).map(({ ws }) => ws.readyState)).toEqual([WebSocket.OPEN, WebSocket.OPEN]);
  });

  it("256 strangers, who come again when they are closed, lock out no member of their address", async () => {
    const hub = await openHub({ token: "right" });
    let isOver = false;
    const hold = () => {
      const net = connectNet(hub.port, "127.0.0.1", () => net.write("GET / HTTP/1.1\r\n"));
      net.on("error", () => {});
      net.on("close", () => !isOver && setImmediate(hold));
      onTestFinished(() => void net.destroy());
    };
    onTestFinished(() => {
      isOver = true;
    });
    for (let i = 0; i < 300; i++) hold();
    for (let rank = 0; rank < 20; rank++) {
      const { welcome } = await connectWebSocket(hub.url, hello({ rank, worldSize: 20 }), {
        timeoutMs: 10_000,
        token: "right",
      });
      expect(welcome.rank).toBe(rank);
    }
  });
});

describe("S9 after authentication", () => {
  const bystanders = async (hub: { url: string }) => {
    const [zero, one] = await Promise.all([
      joinConnection(hub, { group: "other", rank: 0 }),
      joinConnection(hub, { group: "other", rank: 1 }),
    ]);
    return async () => {
      const before = one.frames.length;
      zero.connection.sendFrame(dataFrame(1, 1), new Uint8Array([1]));
      await one.until(() => one.frames.length === before + 1);
      expect(await new HubStore(zero.connection).add("n", 1)).toBeGreaterThan(0);
    };
  };

  it("a message above the cap closes its sender with 1009, and other groups go on", async () => {
    const hub = await openHub({ maxMessageBytes: MIB });
    const goOn = await bystanders(hub);
    const [big, peer] = await Promise.all([join(hub, { rank: 0 }), joinConnection(hub, { rank: 1 })]);
    big.socket.send([dataFrame(1, MIB), new Uint8Array(MIB)]);
    expect((await closeOf(big.socket)).code).toBe(1009);
    await peer.until(() => peer.events.length === 1);
    expect(peer.events).toMatchObject([{ type: "lost", rank: 0 }]);
    expect(peer.frames).toEqual([]);
    await goOn();
  });

  it("too many fragments close their sender with 1009, empty ones too, and other groups go on", async () => {
    const hub = await openHub();
    const goOn = await bystanders(hub);
    for (const fragment of [new Uint8Array(1), new Uint8Array(0)]) {
      const raw = rawWebSocket(hub.url);
      await raw.first;
      const welcomed = new Promise((resolve) => raw.ws.once("message", resolve));
      raw.ws.send(helloMessage(hello({ rank: 0 })));
      await welcomed;
      for (let i = 0; i < 4_097; i++) raw.ws.send(fragment, { binary: true, fin: false });
      expect(await raw.closed).toEqual({ code: 1009, reason: "too many fragments" });
    }
    await goOn();
  });

  it("too many bytes in flight from a rank close it with 1009, and other groups go on", async () => {
    const hub = await openHub({ highWaterBytes: 64 * MIB, maxRankBytes: 2 * MIB });
    const goOn = await bystanders(hub);
    const [flood, sink] = await Promise.all([join(hub, { rank: 0 }), join(hub, { rank: 1 })]);
    sink.socket.pause();
    const closed = closeOf(flood.socket);
    const payload = new Uint8Array(MIB);
    for (let i = 0; i < 32; i++) flood.socket.send([dataFrame(1, MIB), payload]);
    expect((await closed).code).toBe(1009);
    await goOn();
  });

  it("too many bytes in the hub close for whom the most are kept with 1009, and other groups go on", async () => {
    // One message of each of the four is too much, and what has come of the next ones is less than waits for the sink.
    const hub = await openHub({ maxHubBytes: 3.9 * MIB });
    const goOn = await bystanders(hub);
    const sink = await joinConnection(hub, { rank: 4, worldSize: 5 });
    sink.socket.pause();
    const floods = await Promise.all([0, 1, 2, 3].map((rank) => joinConnection(hub, { rank, worldSize: 5 })));
    const payload = new Uint8Array(MIB);
    for (let i = 0; i < 32; i++) for (const { socket } of floods) socket.send([dataFrame(4, MIB), payload]);
    // Besides, the hub tells who is held back for the sink.
    const losses = () => floods[0]!.events.filter((event) => (event as { type: string }).type !== "held");
    await floods[0]!.until(() => losses().length > 0);
    const reason = expect.stringContaining("too many bytes are kept for this hub");
    expect(losses()).toEqual([{ type: "lost", rank: 4, reason }]);
    await goOn();
  });
});

describe("S10 a declared length", () => {
  it("that is not what came closes the sender, and nothing is passed on", async () => {
    const hub = await openHub();
    const [liar, peer] = await Promise.all([join(hub, { rank: 0 }), joinConnection(hub, { rank: 1 })]);
    liar.socket.send([dataFrame(1, 0xffff_ffff), new Uint8Array(10)]);
    expect((await closeOf(liar.socket)).code).toBe(1002);
    await peer.until(() => peer.events.length === 1);
    expect(peer.frames).toEqual([]);
  });

  it("of a WebSocket frame above the cap is refused before its bytes come, and not allocated", async () => {
    const hub = await openHub();
    const { net, closed } = rawTcp(hub.port);
    const key = Buffer.alloc(16).toString("base64");
    net.write(
      `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
        `Sec-WebSocket-Key: ${key}\r\n\r\n`,
    );
    await new Promise((resolve) => net.once("data", resolve));
    const before = process.memoryUsage().arrayBuffers;
    net.write(Buffer.from([0x82, 0xff, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 2, 3]));
    await within(2_000, closed);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * MIB);
  });
});

describe("S11 control messages to a hub", () => {
  it("with records, extensions, depth or declared items beyond the bytes close the sender only", async () => {
    const hub = await openHub();
    const healthy = await joinConnection(hub, { group: "other" });
    const bombs = [
      [0xd4, 0x72, 0x40],
      [0xc7, 0, 1],
      new Array(5_000).fill(0x91),
      [0xdd, 0xff, 0xff, 0xff, 0xff],
      [0xc1],
      [],
      [0x93, 1, 2, 3],
    ];
    for (const bomb of bombs) {
      const { socket } = await join(hub, { group: `bomb-${bomb.length}-${bomb[0]}` });
      socket.send([dataFrame(HUB_PEER, bomb.length, { kind: 6 }), new Uint8Array(bomb)]);
      expect((await closeOf(socket)).code).toBe(1002);
    }
    expect(await new HubStore(healthy.connection).numKeys()).toBe(0);
  });

  it("with an operation that is none, or names from Object.prototype, close the sender only", async () => {
    const hub = await openHub();
    for (const op of ["constructor", "toString", "__proto__", "hasOwnProperty", "close"]) {
      const { socket } = await join(hub, { group: op });
      socket.send(encodeHubFrame({ type: "call", id: 1, op, args: [] }));
      expect((await closeOf(socket)).code).toBe(1002);
    }
  });
});

describe("S12 names", () => {
  it("such as __proto__ are groups and keys like any other", async () => {
    const hub = await openHub();
    for (const group of ["__proto__", "constructor", "prototype"]) {
      const { connection } = await joinConnection(hub, { group });
      const store = new HubStore(connection);
      await store.set("__proto__", "value");
      expect(await store.check(["__proto__"])).toBe(true);
      expect(await store.check(["constructor"])).toBe(false);
    }
  });
});

describe("S15 the sender's rank", () => {
  it("is the socket's, whatever the frame says", async () => {
    const hub = await openHub();
    const members = await Promise.all([0, 1, 2].map((rank) => joinConnection(hub, { rank, worldSize: 3 })));
    members[2]!.connection.sendFrame(dataFrame(0, 1), new Uint8Array([2]));
    members[1]!.connection.sendFrame(dataFrame(0, 1), new Uint8Array([1]));
    await members[0]!.until(() => members[0]!.frames.length === 2);
    for (const { peer, payload } of members[0]!.frames) expect(peer).toBe(payload[0]);
  });

  it("is the socket's for a goodbye too", async () => {
    const hub = await openHub();
    const members = await Promise.all([0, 1, 2].map((rank) => joinConnection(hub, { rank, worldSize: 3 })));
    members[2]!.socket.send(encodeHubFrame({ type: "goodbye", rank: 1, cause: null }));
    await members[0]!.until(() => members[0]!.events.length === 1);
    expect(members[0]!.events).toEqual([{ type: "left", rank: 2, cause: null }]);
  });
});

describe("S17 a second holder of a rank", () => {
  it("is refused with the reason, and the living one keeps it", async () => {
    const hub = await openHub();
    const first = await joinConnection(hub, { rank: 0 });
    await expect(join(hub, { rank: 0 })).rejects.toThrow(/rank 0 of group "g" is already taken/);
    expect(await new HubStore(first.connection).numKeys()).toBe(0);
    expect(hub.stats.members).toBe(1);
  });
});

describe("a hub that is lost", () => {
  it("rejects what was asked of it with HubLostError naming the address", async () => {
    const hub = await openHub();
    const { connection } = await joinConnection(hub);
    const pending = expect(new HubStore(connection).get("never")).rejects.toThrow(HubLostError);
    await hub.close();
    await pending;
  });
});

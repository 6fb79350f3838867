/** What an attacker tried at a hub with quotas, tickets and figures together: each kind that worked once. */
import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { mintTicket } from "../../src/node/hub.ts";
import { openMetrics } from "../../src/node/metrics/metrics-server.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import type { Hello } from "../../src/wire/handshake.ts";
import { hostile } from "../hub/hostile.ts";
import { hello, joinConnection, openHub, rawTcp } from "../hub/support.ts";

const TOKEN = "a token of this test";
const ticketFor = (role: "rank" | "store") => mintTicket(TOKEN, { group: "g", role, expiresAt: Date.now() + 60_000 });

async function come(hub: { url: string }, ticket: string, fields: Partial<Hello>) {
  const joined = await connectWebSocket(hub.url, hello(fields), { timeoutMs: 5_000, ticket });
  onTestFinished(() => joined.socket.terminate());
  return joined;
}

describe("one ticket", () => {
  it("lets a rank come again 32 times, so that its holder makes the hub keep no ids without end", async () => {
    const hub = await openHub({ token: TOKEN });
    let ticket = ticketFor("rank");
    for (let times = 0; times <= 32; times++) {
      const { socket, resume } = await come(hub, ticket, { rank: 1 });
      socket.terminate();
      ticket = resume!;
      await vi.waitFor(() => expect(hub.stats.members).toBe(0));
    }
    await expect(come(hub, ticket, { rank: 1 })).rejects.toThrow(/let its holder come again 32 times: get a new one/);
    expect(hub.stats.usedTickets).toBe(33);
    expect((await come(hub, ticketFor("rank"), { rank: 1 })).welcome.rank).toBe(1);
  });

  it("lets one client of a store in, and not any number at once by those for coming again", async () => {
    const hub = await openHub({ token: TOKEN });
    const client = await come(hub, ticketFor("store"), { purpose: "store", rank: null });
    expect(client.resume).toBeUndefined();
  });
});

describe("two Host headers", () => {
  it.each([
    ["127.0.0.1", "evil.example"],
    ["evil.example", "127.0.0.1"],
  ])("%s and %s are refused with 403", async (...hosts) => {
    const hub = await openHub();
    for (const upgrade of ["", "Upgrade: websocket\r\nConnection: Upgrade\r\n"]) {
      const { net, closed } = rawTcp(hub.port);
      net.write(`GET / HTTP/1.1\r\n${hosts.map((host) => `Host: ${host}\r\n`).join("")}${upgrade}\r\n`);
      expect(await closed).toMatch(/^HTTP\/1\.1 40[03] /);
    }
  });
});

describe("a target that names a host besides", () => {
  const ask = async (target: (own: string) => string, upgrade: string) => {
    const hub = await openHub();
    const { net, closed } = rawTcp(hub.port);
    const own = `127.0.0.1:${hub.port}`;
    net.write(`GET ${target(own)} HTTP/1.1\r\nHost: ${own}\r\n${upgrade}\r\n`);
    const status = await Promise.race([closed, once(net, "data").then(([data]) => String(data))]);
    net.destroy();
    return status.slice(0, 12);
  };
  const upgrade =
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

  it.each([
    "http://evil.example/",
    "ws://evil.example",
    "HTTP://127.0.0.1@evil.example/",
    "http://127.0.0.1/",
    "http:///x",
  ])("%s is refused with 400", async (target) => {
    for (const headers of ["Connection: close\r\n", upgrade]) {
      expect(await ask(() => target, headers)).toBe("HTTP/1.1 400");
    }
  });

  it("is served where it is the one of the header", async () => {
    expect(await ask((own) => `http://${own}/`, "Connection: close\r\n")).toBe("HTTP/1.1 426");
    expect(await ask((own) => `http://${own}/`, upgrade)).toBe("HTTP/1.1 101");
  });
});

it("a group whose name has line breaks makes one line of each in the log", async () => {
  const told: string[] = [];
  const tell = (text: string) => void told.push(text);
  const hub = await openHub({ logger: { error: tell, warn: tell, info: tell, debug: tell } });
  const forged = 'a\nwebccl info: hub: rank 7 of 8 joined group "b"\u001b[2K\r';
  const [left, lost] = [await joinConnection(hub, { group: forged }), await hostile(hub, { group: forged, rank: 1 })];
  left.connection.goodbye();
  await lost.tell({ type: "no such type" });
  await lost.closed;
  await vi.waitFor(() => expect(told.filter((line) => line.includes("rank 7")).length).toBe(5));
  for (const line of told) for (const mark of ["\n", "\r", "\u001b"]) expect(line).not.toContain(mark);
});

describe("the port for figures", () => {
  it("has at most 64 connections at a time, and answers again when they have gone", async () => {
    const page = { status: 200, type: "text/plain", body: "" } as const;
    const figures = await openMetrics({ port: 0, metrics: async () => page });
    onTestFinished(() => figures.close());
    const { port } = new URL(figures.url);
    const open = async () => {
      const socket = connect(Number(port), "127.0.0.1").on("error", () => {});
      onTestFinished(() => void socket.destroy());
      await once(socket, "connect");
      return socket;
    };
    const idle = await Promise.all(Array.from({ length: 64 }, open));
    const refused = await open();
    await once(refused.resume(), "close");
    for (const socket of idle) socket.destroy();
    const answer = () => {
      const { net, closed } = rawTcp(Number(port));
      net.write("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
      return closed;
    };
    await expect.poll(answer, { timeout: 20_000 }).toMatch(/^HTTP\/1\.1 200 /);
  });
});

/** A hub behind a proxy: for whom each connection counts, who is let in, and what is said of it. */
import { describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import type { HubEvent } from "../../src/hub/events.ts";
import type { Logger } from "../../src/options.ts";
import { join, openHub, rawWebSocket } from "../hub/support.ts";

const CLIENTS = ["203.0.113.1", "203.0.113.2", "2001:db8::3"];
const OF_CROWD = 3;

/** What a proxy says of a client, in either header. */
const HEADERS: readonly ((client: string) => Record<string, string>)[] = [
  (client) => ({ "x-forwarded-for": client }),
  (client) => ({ forwarded: `for="${client.includes(":") ? `[${client}]` : client}";proto=https` }),
];

describe("S27 a trusted proxy's clients", () => {
  it.each(HEADERS)("are counted by their own addresses: a crowd of one closes nobody else (%#)", async (headersOf) => {
    const events: HubEvent[] = [];
    const hub = await openHub({
      ...{ token: "right", trustProxy: ["loopback"], maxPendingPerAddress: OF_CROWD },
      onEvent: (event) => events.push(event),
    });
    const open = async (client: string) => {
      const one = rawWebSocket(hub.url, { headers: headersOf(client) });
      await one.first;
      return one;
    };
    const others = [await open(CLIENTS[0]!), await open(CLIENTS[1]!)];
    const crowd = [];
    for (let i = 0; i < 2 * OF_CROWD; i++) crowd.push(await open(CLIENTS[2]!));
    for (const one of crowd.slice(0, OF_CROWD)) await one.closed;
    const states = [...others, ...crowd.slice(OF_CROWD)].map(({ ws }) => ws.readyState);
    expect(states).toEqual(states.map(() => WebSocket.OPEN));
    expect(events).toEqual(
      Array.from({ length: OF_CROWD }, () => expect.objectContaining({ kind: "crowd", address: CLIENTS[2] })),
    );
    expect(hub.stats.pendingConnections).toBe(2 + OF_CROWD);
  });

  it("are one where the proxy is not trusted: who comes over loopback chooses no address", async () => {
    const hub = await openHub({ token: "right", trustProxy: ["10.0.0.0/8"], maxPendingPerAddress: OF_CROWD });
    const crowd = [];
    for (let i = 0; i < 2 * OF_CROWD; i++) {
      const one = rawWebSocket(hub.url, { headers: HEADERS[i % 2]!(`203.0.113.${i}`) });
      await one.first;
      crowd.push(one);
    }
    for (const one of crowd.slice(0, OF_CROWD)) await one.closed;
    expect(hub.stats.pendingConnections).toBe(OF_CROWD);
  });

  it("are named by their addresses where they are let in or refused", async () => {
    const events: HubEvent[] = [];
    const hub = await openHub({ trustProxy: ["127.0.0.1"], onEvent: (event) => events.push(event) });
    const headers = { "x-forwarded-for": `evil, ${CLIENTS[0]}` };
    expect(await rawWebSocket(hub.url, { headers: { ...headers, origin: "https://evil.example" } }).status).toBe(403);
    expect(await rawWebSocket(hub.url, { headers: { ...headers, host: "evil.example" } }).status).toBe(403);
    expect(events.filter(({ event }) => event === "refused")).toMatchObject([
      { kind: "origin", address: CLIENTS[0] },
      { kind: "host", address: CLIENTS[0] },
    ]);
  });
});

describe("publicUrl", () => {
  it("is the hub's url, and its host is known; pages from there still need to be on the list", async () => {
    const hub = await openHub({ publicUrl: "https://example.org/hub/" });
    expect([hub.url, hub.listensAt]).toEqual(["wss://example.org/hub", `ws://127.0.0.1:${hub.port}`]);
    const statusOf = (headers: Record<string, string>) => rawWebSocket(hub.listensAt, { headers }).status;
    expect(await statusOf({ host: "example.org" })).toBe(101);
    expect(await statusOf({ host: "www.example.org" })).toBe(403);
    expect(await statusOf({ host: "example.org", origin: "https://example.org" })).toBe(403);
  });

  it("lets pages in that this server sent through the proxy", async () => {
    const hub = await openHub({ publicUrl: "wss://example.org/demo", sameOrigin: true });
    const statusOf = (origin: string) =>
      rawWebSocket(hub.listensAt, { headers: { host: "example.org", origin } }).status;
    expect(await statusOf("https://example.org")).toBe(101);
    expect(await statusOf("https://example.org:8443")).toBe(403);
    expect(await statusOf("https://evil.example")).toBe(403);
  });
});

describe("a hub on loopback without a token", () => {
  const logged = () => {
    const warnings: string[] = [];
    const silent = () => {};
    const logger: Logger = { error: silent, warn: (text) => warnings.push(text), info: silent, debug: silent };
    return { warnings, logger };
  };

  it.each(["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"])(
    "warns once that a proxy lets everyone in when it sees %s",
    async (name) => {
      const { warnings, logger } = logged();
      const events: HubEvent[] = [];
      const hub = await openHub({ logger, onEvent: (event) => events.push(event) });
      await join(hub);
      expect(warnings).toEqual([]);
      for (let i = 0; i < 2; i++) {
        await rawWebSocket(hub.url, { headers: { [name]: "x" } }).status;
        await (await fetch(hub.url.replace("ws", "http"), { headers: { [name]: "x" } })).text();
      }
      expect(warnings).toEqual([expect.stringMatching(/has no token: whoever reaches the proxy may join any group/)]);
      expect(events.filter(({ event }) => event === "warning")).toHaveLength(1);
    },
  );

  it("has nothing to warn of once it has one", async () => {
    const { warnings, logger } = logged();
    const hub = await openHub({ logger, token: "right" });
    await rawWebSocket(hub.url, { headers: { "x-forwarded-for": "x" } }).status;
    expect(warnings).toEqual([]);
  });
});

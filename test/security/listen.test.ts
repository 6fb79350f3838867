/** Who may bind, and who may knock. */
import { connect, createServer } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { WebSocketServer } from "ws";
import { AbortedError, AdmissionError, TimeoutError } from "../../src/errors.ts";
import { createHub } from "../../src/node/hub.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import { listenWebSocket } from "../../src/node/websocket-server.ts";
import { hello, join, openHub, rawWebSocket } from "../hub/support.ts";

const welcome = { rank: 0, worldSize: 2, epoch: 0, hostRank: null, checksums: false };

async function listen(options: Parameters<typeof listenWebSocket>[0]) {
  const listener = await listenWebSocket(options, () => welcome);
  onTestFinished(() => listener.close());
  return listener;
}

describe("S1 binding", () => {
  it("is to loopback unless said otherwise", async () => {
    const listener = await listen({});
    expect(listener.url).toBe(`ws://127.0.0.1:${listener.port}`);
    // Another address of this machine, on which nothing listens then.
    const elsewhere = connectWebSocket(`ws://127.0.0.2:${listener.port}`, hello(), { timeoutMs: 200 });
    await expect(elsewhere).rejects.toThrow(TimeoutError);
  });

  it("beyond loopback needs a token and TLS, or insecure", async () => {
    const tls = { cert: "", key: "" };
    const unsafe = [{}, { token: "t" }, { tls }, { token: "", tls }];
    for (const host of ["0.0.0.0", "::", "192.0.2.1", "example.org", "127.evil.example"]) {
      for (const options of unsafe) {
        await expect(listenWebSocket({ host, ...options }, () => welcome)).rejects.toThrow(RangeError);
        await expect(listenWebSocket({ host, ...options }, () => welcome)).rejects.toThrow(/insecure/);
      }
    }
    const open = await listen({ host: "0.0.0.0", insecure: true });
    expect(open.port).toBeGreaterThan(0);
  });

  it("to a port in use says which, and what to do", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as { port: number };
    const second = createHub({ port });
    await expect(second).rejects.toThrow(new RegExp(`port ${port} on 127.0.0.1 is already in use.*MASTER_PORT`));
    await expect(second).rejects.toBeInstanceOf(RangeError);
  });
});

describe("S2 Origin", () => {
  it("not on the list gets 403: null, suffix, substring and case tricks included", async () => {
    const listener = await listen({ origins: ["https://example.org", "null"] });
    const tricks = [
      "null",
      "https://example.org.evil.example",
      "https://evil-example.org",
      "https://evil.example/https://example.org",
      "http://example.org",
      "https://example.org:8443",
      "https://EXAMPLE.org",
      "https://example.org, https://evil.example",
      "https://user@example.org",
      "",
    ];
    for (const origin of tricks) {
      expect([origin, await rawWebSocket(listener.url, { headers: { origin } }).status]).toEqual([origin, 403]);
    }
    expect(await rawWebSocket(listener.url, { headers: { origin: "https://example.org" } }).status).toBe(101);
  });

  it("is refused whatever it is where no list is given", async () => {
    const listener = await listen({});
    for (const origin of [`http://127.0.0.1:${listener.port}`, "http://localhost", "https://example.org"]) {
      expect(await rawWebSocket(listener.url, { headers: { origin } }).status).toBe(403);
    }
  });

  it("on the list, or none, still needs the token", async () => {
    const hub = await openHub({ token: "right", origins: ["https://example.org"] });
    const page = rawWebSocket(hub.url, { headers: { origin: "https://example.org" } });
    await page.first;
    page.ws.send(new Uint8Array([0x80]));
    expect((await page.closed).code).toBe(1008);
    await expect(join(hub)).rejects.toThrow(AdmissionError);
  });
});

describe("S3 Host", () => {
  it("that is unknown gets 403, and X-Forwarded-Host is ignored", async () => {
    const listener = await listen({ allowHosts: ["hub.example.org"] });
    const tricks = [
      "evil.example",
      "localhost.evil.example",
      "127.0.0.1.evil.example",
      "127.0.0.1:80:80",
      "evil.example#localhost",
    ];
    for (const host of tricks) {
      const headers = { host, "x-forwarded-host": "localhost" };
      expect([host, await rawWebSocket(listener.url, { headers }).status]).toEqual([host, 403]);
    }
    for (const host of ["localhost", "127.0.0.1", `127.0.0.1:${listener.port}`, "[::1]:9", "HUB.example.org:443"]) {
      expect([host, await rawWebSocket(listener.url, { headers: { host } }).status]).toEqual([host, 101]);
    }
    const headers = { host: "localhost", "x-forwarded-host": "evil.example" };
    expect(await rawWebSocket(listener.url, { headers }).status).toBe(101);
  });
});

describe("S3 two headers Host", () => {
  /** What the server at `port` answers to these lines. */
  const answerTo = (port: number, lines: readonly string[]) =>
    new Promise<string>((resolve, reject) => {
      let answer = "";
      const net = connect(port, "127.0.0.1", () => net.write(`${lines.join("\r\n")}\r\n\r\n`));
      net.setEncoding("latin1");
      net.on("data", (text) => {
        answer += text;
        if (answer.includes("\r\n\r\n")) net.destroy();
      });
      net.on("close", () => resolve(answer));
      net.on("error", reject);
    });

  it("get 400, whichever is first and whatever is asked for", async () => {
    const hub = await openHub({});
    const { port } = hub;
    const upgrade = [
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      `Sec-WebSocket-Key: ${"A".repeat(22)}==`,
    ];
    for (const more of [[], upgrade]) {
      for (const hosts of [
        ["localhost", "evil.example"],
        ["evil.example", "localhost"],
        ["localhost", "localhost"],
      ]) {
        const answer = await answerTo(port, ["GET / HTTP/1.1", ...hosts.map((host) => `Host: ${host}`), ...more]);
        expect([hosts, answer.slice(0, 12)]).toEqual([hosts, "HTTP/1.1 400"]);
        expect(answer).toContain("more than one header Host");
      }
      const alone = await answerTo(port, ["GET / HTTP/1.1", "Host: localhost", ...more]);
      expect(alone).not.toContain("HTTP/1.1 400");
    }
  });
});

describe("S13 per-message deflate", () => {
  it("is declined by the server and not offered by the client", async () => {
    const listener = await listen({});
    const offering = rawWebSocket(listener.url, { perMessageDeflate: true });
    await offering.first;
    expect(offering.ws.extensions).toBe("");

    const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: true });
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    const offered = new Promise<string | undefined>((resolve) => {
      server.on("connection", (ws, request) => {
        resolve(request.headers["sec-websocket-extensions"]);
        ws.terminate();
      });
    });
    const attempt = connectWebSocket(`ws://127.0.0.1:${port}`, hello(), { timeoutMs: 200 });
    await expect(attempt).rejects.toThrow(AdmissionError);
    expect(await offered).toBeUndefined();
  });
});

describe("connectWebSocket()", () => {
  it("waits for a hub that starts later", async () => {
    const first = await createHub({ port: 0 });
    const { port } = first;
    await first.close();
    const early = connectWebSocket(`ws://127.0.0.1:${port}`, hello(), { timeoutMs: 10_000 });
    const hub = await createHub({ port });
    onTestFinished(() => hub.close());
    const { socket } = await early;
    socket.terminate();
  });

  it("says what to check when nothing answers", async () => {
    const hub = await createHub({ port: 0 });
    await hub.close();
    const attempt = connectWebSocket(hub.url, hello(), { timeoutMs: 1000 });
    await expect(attempt).rejects.toThrow(TimeoutError);
    await expect(attempt).rejects.toThrow(new RegExp(`${hub.url}.*ECONNREFUSED.*MASTER_PORT`));
  });

  it("times out on a port that accepts and is silent", async () => {
    const mute = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => mute.once("listening", resolve));
    onTestFinished(() => void mute.close());
    mute.on("connection", (net) => onTestFinished(() => void net.destroy()));
    const { port } = mute.address() as { port: number };
    await expect(connectWebSocket(`ws://127.0.0.1:${port}`, hello(), { timeoutMs: 100 })).rejects.toThrow(TimeoutError);
  });

  it("stops at its signal", async () => {
    const controller = new AbortController();
    const attempt = connectWebSocket("ws://127.0.0.1:1", hello(), { timeoutMs: 60_000, signal: controller.signal });
    controller.abort();
    await expect(attempt).rejects.toThrow(AbortedError);
  });

  it("names an address that is none", async () => {
    for (const url of ["http://127.0.0.1", "127.0.0.1:29500", ""]) {
      await expect(connectWebSocket(url, hello(), { timeoutMs: 100 })).rejects.toThrow(TypeError);
    }
  });
});

describe("nodePlatform.listen()", () => {
  it("hands over a direct link with its hello, and refuses with accept's reason", async () => {
    const accepted: unknown[] = [];
    const listener = await nodePlatform.listen({ token: "t" }, (greeting, socket) => {
      if (greeting.rank === 3) throw new AdmissionError("rank 3 is not expected here");
      accepted.push(greeting);
      socket.onMessage = (fragments) => socket.send(fragments);
      socket.onClose = () => {};
    });
    onTestFinished(() => listener.close());
    const options = { timeoutMs: 5_000, token: "t" };
    const link = hello({ rank: 1, purpose: "link" });
    const { socket, welcome: answer } = await nodePlatform.connect(listener.url, link, options);
    expect(answer).toEqual({ rank: 1, worldSize: 2, epoch: 0, hostRank: null, checksums: false });
    const echoed = new Promise<number[]>((resolve) => {
      socket.onMessage = (fragments) => resolve(fragments.flatMap((fragment) => [...fragment]));
    });
    const sent = new Promise<void>((resolve) =>
      socket.send([new Uint8Array([1, 2]), new Uint8Array(0), new Uint8Array([3])], resolve),
    );
    expect(await echoed).toEqual([1, 2, 3]);
    await sent;
    expect(accepted).toEqual([link]);
    await expect(nodePlatform.connect(listener.url, { ...link, rank: 3, worldSize: 4 }, options)).rejects.toThrow(
      /not expected here/,
    );
    socket.terminate();
  });
});

/** What `webccl hub` tells of itself: its log, its figures, and how it ends. */
import { spawnSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { HubLostError } from "../../src/errors.ts";
import { mintTicket } from "../../src/node/hub.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import { hello, helloMessage, rawWebSocket } from "../hub/support.ts";
import { type Command, start, webccl } from "./command.ts";

const TOKEN = "a token of this test";

async function startHub(
  ...flags: string[]
): Promise<{ hub: Command; url: string; lines: () => Record<string, unknown>[] }> {
  const hub = start(["hub", "--port", "0", ...flags], { WEBCCL_TOKEN: TOKEN });
  onTestFinished(() => void hub.process.kill("SIGKILL"));
  let text = "";
  hub.process.stderr?.on("data", (chunk) => {
    text += chunk;
  });
  const [, url = ""] = await hub.printed(/^(ws:.*)\n(?:.*\n)+? {2}pages.*\n/);
  const lines = () =>
    text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  return { hub, url, lines };
}

/** What a page of the metrics' port answers. */
function get(base: string, path: string, headers: Record<string, string> = {}, method = "GET") {
  return new Promise<{ status: number | undefined; type: string | undefined; text: string }>((resolve, reject) => {
    const sent = request(base + path, { headers, method, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk) => {
        text += chunk;
      });
      const type = response.headers["content-type"];
      response.on("end", () => resolve({ status: response.statusCode, type, text }));
    });
    sent.on("error", reject);
    sent.end();
  });
}

/** The samples of a page of Prometheus's text format. */
function samplesOf(page: string): Map<string, number> {
  const lines = page.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const [, name, value] = /^([a-z_]+(?:\{[a-z_]+="[^"]*"\})?) (-?[\d.e+-]+)$/.exec(line) ?? [];
      expect(name, line).toBeDefined();
      return [name!, Number(value)];
    }),
  );
}

describe("webccl hub --log --metrics-port", { timeout: 90_000 }, () => {
  it("tells of joins, departures and refusals, counts what comes again, and of no secret", async () => {
    const { hub, url, lines } = await startHub("--log", "--metrics-port", "0");
    const [, base = ""] = await hub.printed(/metrics {2}(http:\S+)\/metrics/);
    const ticket = mintTicket(TOKEN, { group: "g", expiresAt: Date.now() + 60_000 });
    const options = { initMethod: `${url}/g`, worldSize: 2, timeoutMs: 20_000 };
    const [one, two] = await Promise.all([
      initProcessGroup({ ...options, rank: 0, token: TOKEN }),
      initProcessGroup({ ...options, rank: 1, ticket }),
    ]);
    const inside = samplesOf((await get(base, "/metrics")).text);
    expect(inside.get("webccl_hub_members")).toBe(2);
    expect(inside.get("webccl_hub_groups")).toBe(1);
    expect(inside.get("webccl_hub_used_tickets")).toBe(1);
    await Promise.all([one.destroy(), two.destroy()]);

    for (let i = 0; i < 5; i++) {
      const raw = rawWebSocket(url);
      await raw.first;
      raw.ws.send(helloMessage(hello(), { token: "a wrong one" }));
      await raw.closed;
    }
    const again = connectWebSocket(url, hello({ rank: 1 }), { timeoutMs: 10_000, ticket });
    await expect(again).rejects.toThrow(/has been used/);
    expect(await rawWebSocket(url, { headers: { origin: "https://elsewhere.example" } }).status).toBe(403);
    await vi.waitFor(
      () => {
        const seen = lines().map(({ event, kind }) => kind ?? event);
        expect(seen.toSorted()).toEqual(["joined", "joined", "left", "left", "origin", "proof", "ticket"]);
      },
      { timeout: 10_000 },
    );
    const { text, type, status } = await get(base, "/metrics");
    expect({ status, type }).toEqual({ status: 200, type: "text/plain; version=0.0.4; charset=utf-8" });
    const samples = samplesOf(text);
    expect(Object.fromEntries(samples)).toMatchObject({
      ...{ webccl_hub_members: 0, webccl_hub_groups: 0, webccl_hub_joined_total: 2, webccl_hub_left_total: 2 },
      ...{ webccl_hub_lost_total: 0, 'webccl_hub_refused_total{kind="proof"}': 5 },
      ...{ 'webccl_hub_refused_total{kind="ticket"}': 1, 'webccl_hub_refused_total{kind="origin"}': 1 },
      ...{ 'webccl_hub_refused_total{kind="crowd"}': 0, 'webccl_hub_evicted_total{code="1009"}': 0 },
    });
    // As Prometheus has it, what only grows is a counter, and nothing else is.
    for (const [, name, kind] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
      expect([name, kind]).toEqual([name, name?.endsWith("_total") ? "counter" : "gauge"]);
    }
    expect(samples.get("webccl_hub_resident_memory_bytes")).toBeGreaterThan(10 * 2 ** 20);

    hub.process.kill("SIGTERM");
    const { code, stdout, stderr } = await hub.ended;
    expect(code).toBe(0);
    const told = lines();
    expect(told.filter(({ again: more }) => more)).toMatchObject([{ event: "refused", kind: "proof", again: 4 }]);
    expect(told[0]).toMatchObject({ event: "joined", group: "g", as: "rank", address: "127.0.0.1" });
    for (const { time } of told) expect(new Date(String(time)).toISOString()).toBe(time);
    const key = createHmac("sha256", TOKEN).digest("base64url");
    for (const secret of [TOKEN, "a wrong one", ticket, ...ticket.split("."), key]) {
      expect(stdout + stderr + text).not.toContain(secret);
    }
  });

  it("tells whom the hub has closed, and why", async () => {
    const { hub, url, lines } = await startHub("--log");
    const { socket } = await connectWebSocket(url, hello(), { timeoutMs: 10_000, token: TOKEN });
    socket.send([new Uint8Array([1, 2, 3])]);
    await vi.waitFor(() => expect(lines().length).toBe(3), { timeout: 10_000 });
    expect(lines().slice(1)).toMatchObject([
      { event: "evicted", group: "g", rank: 0, code: 1002, reason: "protocol error" },
      { event: "lost", group: "g", rank: 0, reason: "the hub closed its connection: protocol error" },
    ]);
    hub.process.kill("SIGTERM");
    expect((await hub.ended).code).toBe(0);
  });

  it("answers /healthz, and neither a page, nor another Host, nor a POST", async () => {
    const { hub } = await startHub("--metrics-port", "0", "--allow-host", "metrics.example");
    const [, base = ""] = await hub.printed(/metrics {2}(http:\S+)\/metrics/);
    expect(await get(base, "/healthz")).toMatchObject({ status: 200, text: "ok\n" });
    expect(await get(base, "/healthz", { host: "metrics.example:1" })).toMatchObject({ status: 200 });
    expect(await get(base, "/healthz", {}, "HEAD")).toMatchObject({ status: 200, text: "" });
    expect(await get(base, "//", {})).toMatchObject({ status: 404 });
    expect(await get(base, "/metrics", { host: "evil.example" })).toMatchObject({ status: 403 });
    expect(await get(base, "/metrics", { origin: "https://evil.example" })).toMatchObject({ status: 403 });
    expect(await get(base, "/metrics", { "sec-fetch-site": "cross-site" })).toMatchObject({ status: 403 });
    expect(await get(base, "/metrics", {}, "POST")).toMatchObject({ status: 405 });
    hub.process.kill("SIGTERM");
    expect(await hub.ended).toMatchObject({ code: 0, stderr: "" });
  });

  it.each([
    [["--metrics-port", "x"], "--metrics-port must be a whole number from 0 to 65535, got x"],
    [["--metrics-port", "0", "--metrics-host", "no-such-host.invalid"], "no-such-host.invalid"],
  ])("refuses %j", async (flags, message) => {
    const { code, stdout, stderr } = await webccl(["hub", "--port", "0", ...flags]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});

describe("webccl hub at SIGTERM", { timeout: 90_000 }, () => {
  it("tells every member why, those too that do not read, and ends within seconds with 0", async () => {
    const { hub, url } = await startHub();
    const options = { initMethod: `${url}/g`, worldSize: 2, token: TOKEN, timeoutMs: 20_000 };
    const groups = await Promise.all([0, 1].map((rank) => initProcessGroup({ ...options, rank, transport: "hub" })));
    const deaf = await connectWebSocket(url, hello({ group: "deaf" }), { timeoutMs: 10_000, token: TOKEN });
    deaf.socket.pause();
    const calls = groups.map((group) =>
      group.recv(new Float32Array(1), 1 - group.rank).catch((error: unknown) => error),
    );
    const started = performance.now();
    hub.process.kill("SIGTERM");
    for (const error of await Promise.all(calls)) {
      expect(error).toBeInstanceOf(HubLostError);
      expect(String(error)).toContain("(1001 the hub was ended by SIGTERM)");
    }
    expect(await hub.ended).toMatchObject({ code: 0, signal: null });
    expect(performance.now() - started).toBeLessThan(10_000);
    deaf.socket.terminate();
    await Promise.all(groups.map((group) => group.destroy()));
  });
});

describe("deploy/", () => {
  it("has a unit that systemd accepts", () => {
    const unit = fileURLToPath(new URL("../../deploy/webccl-hub.service", import.meta.url));
    const { status, stdout, stderr } = spawnSync("systemd-analyze", ["verify", unit], { encoding: "utf8" });
    expect({ status, said: stdout + stderr }).toEqual({ status: 0, said: "" });
  });

  const file = (name: string) => readFileSync(new URL(`../../deploy/${name}`, import.meta.url), "utf8");

  it("starts the hub with flags that there are, and on the ports that it names", async () => {
    const { stdout: help } = await webccl(["hub", "--help"]);
    const dockerfile = file("Dockerfile");
    const entry = JSON.parse(/^ENTRYPOINT (\[.*\])$/m.exec(dockerfile)?.[1] ?? "[]") as string[];
    expect(entry.slice(0, 2)).toEqual(["webccl", "hub"]);
    const [, exec = ""] = /^ExecStart=\/usr\/bin\/env webccl hub (.*)$/m.exec(file("webccl-hub.service")) ?? [];
    const flags = [...entry, ...exec.split(" ")].filter((word) => word.startsWith("--"));
    expect(flags.length).toBeGreaterThan(8);
    for (const flag of flags) expect(help, flag).toContain(`${flag} `);
    const port = entry[entry.indexOf("--metrics-port") + 1];
    expect(/^EXPOSE (.*)$/m.exec(dockerfile)?.[1]).toBe(`29500 ${port}`);
    expect(/^HEALTHCHECK .*fetch\('http:\/\/127\.0\.0\.1:(\d+)\/healthz'\)/m.exec(dockerfile)?.[1]).toBe(port);
    const known = ["FROM", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"];
    for (const line of dockerfile.split("\n").filter((text) => text !== "" && !text.startsWith("#"))) {
      expect(known).toContain(line.split(" ", 1)[0]);
    }
  });
});

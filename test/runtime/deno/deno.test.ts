import { execFileSync } from "node:child_process";
import { createInterface } from "node:readline";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { denoExecutable } from "../../../src/cli/launch/deno-command.ts";
import { HubConnection } from "../../../src/link/hub/connection.ts";
import { CASE_COLLECTIVES } from "../../../src/testing/index.ts";
import type { CasesReport } from "../../conformance/run-cases.ts";
import { expectedSums } from "../../helpers/alloc-sums.ts";
import { freePort } from "../../helpers/free-port.ts";
import { dataFrame, join, rawTcp, rawWebSocket } from "../../hub/support.ts";
import { type ProcessRuntime, runProcess, startProgram } from "../processes.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const TOKEN = "a token of this test";
const MIB = 2 ** 20;

describe("Deno ranks", () => {
  for (const [transport, ...runtimes] of [
    ["websocket", "deno", "node", "deno"],
    ["websocket", "node", "deno", "node"],
    ["mapped-memory", "deno", "node", "deno"],
    ["mapped-memory", "node", "deno", "node"],
    ["mapped-memory", "deno", "deno", "deno"],
    ["shared-file", "deno", "node", "deno"],
    ["shared-file", "node", "deno", "node"],
    ["shared-file", "deno", "deno", "deno"],
  ] as const satisfies [string, ...ProcessRuntime[]][]) {
    it(`run every collective over ${transport} as ${runtimes.join(", ")}`, { timeout: 60_000 }, async () => {
      const initMethod = `tcp://127.0.0.1:${await freePort()}`;
      const cases = { seed: 12, dtypes: ["f32", "i64"], ops: ["sum", "max"], counts: [17, 20_000] } as const;
      const outcomes = await Promise.all(
        runtimes.map((runtime, rank) =>
          runProcess(runtime, {
            task: { name: "conformance", cases, memory: "host" },
            options: { initMethod, rank, worldSize: 3, token: TOKEN, transport, timeoutMs: 25_000 },
          }),
        ),
      );
      const first = outcomes[0] as unknown as CasesReport;
      outcomes.forEach((outcome, rank) => {
        expect(outcome).toMatchObject({ runtime: runtimes[rank], wrong: [], digests: first.digests });
        expect(outcome).toMatchObject({ executor: "wasm-simd" });
      });
      expect(first.ran).toBeGreaterThan(CASE_COLLECTIVES.length);
    });
  }

  it("get tensors from alloc() that are summed as their dtype", async () => {
    const initMethod = `tcp://127.0.0.1:${await freePort()}`;
    const outcomes = await Promise.all(
      (["deno", "node"] as const).map((runtime, rank) =>
        runProcess(runtime, {
          task: { name: "sum" },
          options: { initMethod, rank, worldSize: 2, token: TOKEN, timeoutMs: 25_000 },
        }),
      ),
    );
    for (const outcome of outcomes) expect(outcome).toMatchObject({ sums: expectedSums(2) });
  });
});

/** A hub in a Deno process. */
async function openDenoHub() {
  const child = await startProgram("deno", "deno/hub.ts", { TOKEN });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const nextLine = async () => String((await lines.next()).value);
  const url = await nextLine();
  return {
    url,
    port: Number(new URL(url).port),
    async stats(): Promise<{ bytesInFlight: number; members: number }> {
      child.stdin!.write("\n");
      return JSON.parse(await nextLine());
    },
  };
}

describe("createHub() on Deno", () => {
  it("keeps the door as on Node: S2, S3, S4, S8", async () => {
    const hub = await openDenoHub();
    for (const origin of ["https://evil.example", "https://good.example.evil.example", "null"]) {
      expect(await rawWebSocket(hub.url, { headers: { origin } }).status).toBe(403);
    }
    expect(await rawWebSocket(hub.url, { headers: { origin: "https://good.example" } }).status).toBe(101);
    expect(await rawWebSocket(hub.url, { headers: { host: "rebound.example" } }).status).toBe(403);
    await expect(join(hub, {}, "another token")).rejects.toThrow(/Its token is not the hub's/);
    const flood = rawTcp(hub.port);
    flood.net.write(
      `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${"A".repeat(22)}==\r\n\r\n`,
    );
    flood.net.write(Buffer.alloc(64 * 1024, 0x82));
    await flood.closed;
    expect((await hub.stats()).members).toBe(0);
  });

  it("holds back who sends to a rank that does not read", async () => {
    const hub = await openDenoHub();
    const [reader, writer] = await Promise.all([join(hub, { rank: 0 }, TOKEN), join(hub, { rank: 1 }, TOKEN)]);
    reader.socket.pause();
    const connection = new HubConnection(writer.socket, writer.welcome, hub.url);
    let sent = 0;
    for (let i = 0; i < 256; i++) connection.sendFrame(dataFrame(0, MIB), new Uint8Array(MIB), () => sent++);
    let last = -1;
    while (sent !== last) {
      last = sent;
      for (let turn = 0; turn < 50; turn++) await setImmediate();
      await hub.stats();
    }
    const { bytesInFlight, members } = await hub.stats();
    expect(members).toBe(2);
    expect(bytesInFlight).toBeLessThan(32 * MIB);
    const all = new Promise<void>((resolve) => {
      let frames = 0;
      reader.socket.onMessage = () => ++frames === 256 && resolve();
    });
    reader.socket.resume();
    await all;
  });
});

describe("jsr.json", () => {
  it("names a package that Deno would publish, with no complaint", { timeout: 120_000 }, () => {
    const output = execFileSync(denoExecutable(), ["publish", "--dry-run", "--allow-dirty"], {
      cwd: ROOT,
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    expect(output).not.toMatch(/warning|error/i);
  });
});

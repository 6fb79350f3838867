/** The tests that every runtime of processes besides Node's passes, beside Node. */
import { createInterface } from "node:readline";
import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { HubConnection } from "../../src/link/hub/connection.ts";
import { CASE_COLLECTIVES } from "../../src/testing/index.ts";
import type { CasesReport } from "../conformance/run-cases.ts";
import { freePort } from "../helpers/free-port.ts";
import { dataFrame, join, rawTcp, rawWebSocket } from "../hub/support.ts";
import { type ProcessRuntime, runProcess, startProgram } from "./processes.ts";

export const TOKEN = "a token of this test";
const MIB = 2 ** 20;

/** Groups of these ranks over a transport; rank 0 hosts the hub. */
export function itRunsEveryCollective(
  rows: readonly (readonly ["websocket" | "hub" | "mapped-memory" | "shared-file", ...ProcessRuntime[]])[],
): void {
  for (const [transport, ...runtimes] of rows) {
    it(`run every collective over ${transport} as ${runtimes.join(", ")}`, { timeout: 60_000 }, async () => {
      const initMethod = `tcp://127.0.0.1:${await freePort()}`;
      const cases = { seed: 12, dtypes: ["f32", "i64"], ops: ["sum", "max"], counts: [17, 20_000] } as const;
      const outcomes = await Promise.all(
        runtimes.map((runtime, rank) =>
          runProcess(runtime, {
            task: { name: "conformance", cases, memory: "host" },
            options: { initMethod, rank, worldSize: runtimes.length, token: TOKEN, transport, timeoutMs: 25_000 },
          }),
        ),
      );
      const first = outcomes[0] as unknown as CasesReport;
      outcomes.forEach((outcome, rank) => {
        expect(outcome).toMatchObject({
          runtime: runtimes[rank]!.replace(/-.*/, ""),
          wrong: [],
          digests: first.digests,
        });
        expect(outcome).toMatchObject({ executor: "wasm-simd" });
      });
      expect(first.ran).toBeGreaterThan(CASE_COLLECTIVES.length);
    });
  }
}

/** A hub in a process of its own. */
async function openHub(runtime: ProcessRuntime) {
  const child = await startProgram(runtime, "hub.ts", { TOKEN });
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

/** What a hub in that runtime does as one in Node. */
export function itServesAHub(runtime: ProcessRuntime): void {
  it("keeps the door as on Node: S2, S3, S4, S8", async () => {
    const hub = await openHub(runtime);
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
    const hub = await openHub(runtime);
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
}

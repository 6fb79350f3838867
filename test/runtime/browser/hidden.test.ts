import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { startHub } from "../../../src/node/hub.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { connectWebSocket } from "../../../src/node/websocket-client.ts";
import { Pages } from "./pages.ts";

const WASM = { scripts: "'wasm-unsafe-eval'" };
/** The hub gives up who answers no ping for so long. */
const SILENCE_MS = 800;

describe("a tab that nobody looks at", { timeout: 60_000 }, () => {
  let pages: Pages;
  let hub: Awaited<ReturnType<typeof startHub>>;

  beforeAll(async () => {
    pages = await Pages.open();
    hub = await startHub({ port: 0, origins: [pages.origin], silenceMs: SILENCE_MS });
  });

  afterAll(async () => {
    await pages?.close();
    await hub?.close();
  });

  /** Resolves when the hub has given up somebody who joined now and answers no ping. */
  async function silenceIsOver(): Promise<void> {
    const { members } = hub.stats;
    const hello = { group: "silent", rank: 0, worldSize: 2, purpose: "hub", checksums: false } as const;
    const { socket } = await connectWebSocket(hub.url, hello, { timeoutMs: 5_000 });
    expect(hub.stats.members).toBe(members + 1);
    socket.pause();
    await vi.waitFor(() => expect(hub.stats.members).toBe(members), { timeout: 10 * SILENCE_MS });
    socket.terminate();
  }

  it("stays a rank while its code computes for longer than the hub waits for a silent one", async () => {
    const options = { initMethod: `${hub.url}/busy`, worldSize: 2, timeoutMs: 30_000, backend: "cpu" } as const;
    const task = { name: "allReduce", dtype: "f32", bytes: 4_000, times: 2 } as const;
    const page = await pages.start({ task, options: { ...options, rank: 0 } }, WASM);
    const group = await initProcessGroup({ ...options, rank: 1 });
    await group.barrier();
    await group.allReduce(new Float32Array(1_000));
    const begun = page.waitForEvent("console", (message) => message.text() === "computing");
    const computing = page.evaluate((forMs) => {
      const end = performance.now() + forMs;
      console.log("computing");
      while (performance.now() < end);
    }, 4 * SILENCE_MS);
    await begun;
    const second = Promise.all([group.barrier(), group.allReduce(new Float32Array(1_000))]);
    let over = false;
    void second.then(() => {
      over = true;
    });
    await silenceIsOver();
    expect(over, "the page is not busy").toBe(false);
    await second;
    await computing;
    await group.destroy();
    expect(await pages.outcome(page)).toMatchObject({ rank: 0, runtime: "browser" });
  });

  it("stays a rank behind another tab, with a twentieth of the processor", async () => {
    const options = { initMethod: `${hub.url}/throttled`, worldSize: 2, timeoutMs: 40_000, backend: "cpu" } as const;
    const task = { name: "allReduce", dtype: "f32", bytes: 4_000, times: 3 } as const;
    const page = await pages.start({ task, options: { ...options, rank: 0 } }, WASM);
    const group = await initProcessGroup({ ...options, rank: 1 });
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("Emulation.setCPUThrottlingRate", { rate: 20 });
    const front = await pages.show({});
    await front.bringToFront();
    for (let i = 0; i < 3; i++) {
      await group.barrier();
      if (i === 1) await silenceIsOver();
      await group.allReduce(new Float32Array(1_000));
    }
    await group.destroy();
    expect(await pages.outcome(page)).toMatchObject({ rank: 0, runtime: "browser" });
    await front.close();
  });
});

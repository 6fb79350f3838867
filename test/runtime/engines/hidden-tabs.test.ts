import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startHub } from "../../../src/node/hub.ts";
import { PageServer } from "../browser/page-server.ts";
import type { Job } from "../job.ts";
import { ENGINES, type Engine, type Tab, valueIn } from "./engine.ts";

const MIB = 2 ** 20;

/** What a tab says of its allReduces. */
interface Timed {
  timesMs: number[];
  digest: string;
  timersFired: number;
  visibility: string;
}

describe("a tab behind another, in a Chromium that throttles those", { timeout: 120_000 }, () => {
  let engine: Engine;
  let server: PageServer;
  let hub: Awaited<ReturnType<typeof startHub>>;
  let groups = 0;

  beforeAll(async () => {
    [engine, server] = await Promise.all([ENGINES.chromium({ headed: true }), PageServer.open()]);
    hub = await startHub({ port: 0, origins: [server.origin] });
  });

  afterAll(async () => {
    await engine?.close();
    server?.close();
    await hub?.close();
  });

  /** The allReduces of two tabs, of which the first is hidden by the second unless they are in windows of their own. */
  async function reduce(bytes: number, times: number, apart: boolean): Promise<Timed[]> {
    const initMethod = `${hub.url}/hidden-${groups++}`;
    const tabs: Tab[] = [];
    for (const rank of [0, 1]) {
      const options = { initMethod, rank, worldSize: 2, timeoutMs: 60_000, transport: "hub" } as const;
      const job: Job = { task: { name: "allReduce", dtype: "f32", bytes, times }, options };
      tabs.push(await engine.open(server.urlOf({ scripts: "'wasm-unsafe-eval'" }, job), apart));
    }
    const outcomes = await Promise.all(tabs.map((tab) => valueIn<Timed>(tab, "globalThis.outcome")));
    for (const tab of tabs) await tab.close();
    return outcomes;
  }

  it.each([1, 8, 32])("waits for no timer of its page to move %d MiB", async (mib) => {
    for (const [apart, visibility] of [
      [true, ["visible", "visible"]],
      [false, ["hidden", "visible"]],
    ] as const) {
      const outcomes = await reduce(mib * MIB, 2, apart);
      console.log(
        `${mib} MiB, ${visibility}: ${JSON.stringify(outcomes.map(({ timesMs }) => timesMs.map(Math.round)))} ms`,
      );
      expect(outcomes.map((outcome) => outcome.visibility)).toEqual(visibility);
      expect(outcomes.map(({ timersFired }) => timersFired)).toEqual([0, 0]);
      expect(new Set(outcomes.map(({ digest }) => digest)).size).toBe(1);
    }
  });
});

/**
 * Tabs that come back: one that is closed and opened again, into the group that went on without it; and all of them when their hub
 * has been started again.
 */
import { fileURLToPath } from "node:url";
import type { Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startHub } from "../../../src/node/hub.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { type Reduced, reduceOn } from "./elastic.ts";
import { Pages } from "./pages.ts";

const LIMIT_MS = 5_000;
const ROUNDS = 3;

describe("tabs that come back", { timeout: 120_000 }, () => {
  let pages: Pages;
  let hub: Awaited<ReturnType<typeof startHub>>;
  beforeAll(async () => {
    const program = fileURLToPath(new URL("programs/returning-tab.ts", import.meta.url));
    pages = await Pages.open({ programs: { "entry.js": program } });
    hub = await startHub({ port: 0, origins: [pages.origin] });
  });
  afterAll(async () => {
    await pages?.close();
    await hub?.close();
  });

  const openTab = async (groupName: string, options: object) => {
    const job = { initMethod: `${hub.url}/${groupName}`, backend: "cpu", ...options };
    const page = await pages.show({ scripts: "'wasm-unsafe-eval'" }, job);
    page.on("console", (message) => console.log(`${groupName}: ${message.text()}`));
    return page;
  };

  /** What the tab found in its latest group, once that has so many ranks and began no earlier than `after`. */
  const reached = async (page: Page, size: number, after = 0): Promise<Reduced> => {
    const found = await page.waitForFunction(
      ([wanted, least]) => {
        const last = (globalThis as unknown as { told?: Reduced[] }).told?.at(-1);
        return last && last.globalRanks.length === wanted && last.at >= least! ? last : null;
      },
      [size, after],
      { timeout: 30_000 },
    );
    return (await found.jsonValue()) as Reduced;
  };

  it(`one that is opened again is in within ${LIMIT_MS / 1_000} s, ${ROUNDS} times, and no sum is wrong`, async () => {
    const told: Reduced[] = [];
    let isOver = false;
    const opening = [1, 2].map((rank) => openTab("closed", { rank, worldSize: 3 }));
    const options = { rank: 0, worldSize: 3, backend: "cpu", timeoutMs: 60_000 } as const;
    const group = await initProcessGroup({ initMethod: `${hub.url}/closed`, ...options });
    const program = reduceOn(
      group,
      (reduced) => told.push(reduced),
      () => isOver,
    );
    let [closed, other] = await Promise.all(opening);
    await Promise.all([reached(closed!, 3), reached(other!, 3)]);
    const delays: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await closed!.close();
      expect(await reached(other!, 2)).toMatchObject({ isRight: true });
      const openedAt = Date.now();
      const opened = await openTab("closed", { join: true });
      const { at, isRight } = await reached(opened, 3);
      expect(isRight).toBe(true);
      delays.push(at - openedAt);
      // The next time the other one is closed.
      [closed, other] = [other, opened];
    }
    console.log(`back ${delays.join(", ")} ms after it was opened`);
    expect(Math.max(...delays)).toBeLessThanOrEqual(LIMIT_MS);
    isOver = true;
    await program;
    expect(told.every(({ isRight }) => isRight)).toBe(true);
    expect(told.map(({ globalRanks }) => globalRanks.length)).toEqual([3, 2, 3, 2, 3, 2, 3]);
  });

  it(`all keep their ranks in the next epoch, within ${LIMIT_MS / 1_000} s of the start of a new hub`, async () => {
    const tabs = await Promise.all([0, 1, 2].map((rank) => openTab("restarted", { rank, worldSize: 3 })));
    await Promise.all(tabs.map((tab) => reached(tab, 3)));
    const { port } = hub;
    await hub.close();
    hub = await startHub({ port, origins: [pages.origin] });
    const startedAt = Date.now();
    const reduced = await Promise.all(tabs.map((tab) => reached(tab, 3, startedAt)));
    const expected = { isRight: true, epoch: 1, globalRanks: [0, 1, 2] };
    expect(reduced).toEqual(reduced.map(({ at }) => ({ ...expected, at })));
    const delays = reduced.map(({ at }) => at - startedAt);
    console.log(`in the next epoch ${delays.join(", ")} ms after the new hub's start`);
    expect(Math.max(...delays)).toBeLessThanOrEqual(LIMIT_MS);
  });
});

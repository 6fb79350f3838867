/** A tab that is closed and opened again comes back into the group that went on without it. */
import { fileURLToPath } from "node:url";
import type { Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startHub } from "../../../src/node/hub.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { type Reduced, reduceOn } from "./elastic.ts";
import { Pages } from "./pages.ts";

const LIMIT_MS = 5_000;
const ROUNDS = 3;

describe("a tab that is closed and opened again", { timeout: 120_000 }, () => {
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

  const openTab = (options: object) =>
    pages.show(
      { scripts: "'wasm-unsafe-eval'" },
      `#${encodeURIComponent(JSON.stringify({ initMethod: `${hub.url}/tabs`, backend: "cpu", ...options }))}`,
    );

  /** What the tab found in its latest epoch, once that has so many ranks. */
  const reached = async (page: Page, size: number): Promise<Reduced> => {
    const found = await page.waitForFunction(
      (wanted) => {
        const last = (globalThis as unknown as { told?: Reduced[] }).told?.at(-1);
        return last?.globalRanks.length === wanted ? last : null;
      },
      size,
      { timeout: 30_000 },
    );
    return (await found.jsonValue()) as Reduced;
  };

  it(`is back within ${LIMIT_MS / 1_000} s, ${ROUNDS} times, and no sum is wrong`, async () => {
    const told: Reduced[] = [];
    let isOver = false;
    const opening = [1, 2].map((rank) => openTab({ rank, worldSize: 3 }));
    const options = { rank: 0, worldSize: 3, backend: "cpu", timeoutMs: 60_000 } as const;
    const group = await initProcessGroup({ initMethod: `${hub.url}/tabs`, ...options });
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
      const opened = await openTab({ join: true });
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
});

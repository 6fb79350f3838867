import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright";
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { build, isBuilt } from "../../scripts/build.ts";
import type { LiveState } from "../../src/cli/trace/live-state.ts";
import { openLive } from "../../src/cli/trace/trace-live.ts";
import { freePort } from "../helpers/free-port.ts";
import { Tabs } from "../helpers/tabs.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";

const PROGRAM = fileURLToPath(new URL("programs/steady.mjs", import.meta.url));
/** A stalled rank is named within this time. */
const NAMED_MS = 3_000;
const SIZE = 4;

describe("webccl trace --live", { timeout: 240_000 }, () => {
  let tabs: Tabs;

  beforeAll(async () => {
    if (!isBuilt()) await build();
    tabs = await Tabs.launch("trace");
  }, 90_000);

  afterEach(() => tabs.closeAll());

  afterAll(() => tabs?.close());

  /** Ranks that reduce, and a page on them. */
  async function open(env: Record<string, string>): Promise<{ ranks: ChildProcess[]; page: Page }> {
    const folder = temporaryFolder();
    const port = String(await freePort());
    const ranks = Array.from({ length: SIZE }, (_, rank) =>
      fork(PROGRAM, {
        env: {
          ...process.env,
          ...env,
          ...{ WEBCCL_TRACE_DIR: folder, MASTER_PORT: port, RANK: String(rank), WORLD_SIZE: String(SIZE) },
        },
        stdio: ["ignore", "ignore", "inherit", "ipc"],
      }),
    );
    onTestFinished(() => {
      for (const rank of ranks) rank.kill("SIGKILL");
    });
    await Promise.all(ranks.map((rank) => once(rank, "message")));
    const live = await openLive([folder], 0);
    onTestFinished(() => live.close());
    return { ranks, page: await tabs.open(live.url) };
  }

  const says = (page: Page, text: RegExp) =>
    page.waitForFunction(
      (pattern) => new RegExp(pattern).test(document.getElementById("sentence")?.textContent ?? ""),
      text.source,
      { timeout: 20_000 },
    );

  it("shows ranks that go on, and names one that is stopped within 3 s, however they are linked", async () => {
    for (const [index, transport] of ["shared-file", "websocket"].entries()) {
      const { ranks, page } = await open({ TRANSPORT: transport });
      await says(page, /^all ranks go on$/);
      await page.waitForFunction(() => document.querySelectorAll("#links tr").length === 12);
      if (index === 0) await tabs.inspect(page, "well");
      const victim = 1 + index;
      const stoppedAt = performance.now();
      ranks[victim]!.kill("SIGSTOP");
      await says(
        page,
        new RegExp(`^rank ${victim} has not answered for .*, and is missing in allReduce #\\d+; ranks `),
      );
      const namedMs = performance.now() - stoppedAt;
      console.log(`${transport}: the page named the stopped rank after ${namedMs.toFixed()} ms`);
      expect(namedMs).toBeLessThanOrEqual(NAMED_MS);
      expect(await page.locator("tr.culprit").count()).toBe(1);
      if (index === 0) await tabs.inspect(page, "stopped");
      expect(tabs.problems).toEqual([]);
    }
  });

  it("names a rank that lives and calls nothing more", async () => {
    const { ranks, page } = await open({});
    await says(page, /^all ranks go on$/);
    const sleptAt = performance.now();
    ranks[3]!.send("sleep");
    await says(
      page,
      /^rank 3 never entered allReduce #\d+ \(it ended allReduce #\d+, .* before its dump\); ranks 0, 1, 2 wait there since/,
    );
    const namedMs = performance.now() - sleptAt;
    console.log(`the page named the sleeping rank after ${namedMs.toFixed()} ms`);
    expect(namedMs).toBeLessThanOrEqual(NAMED_MS);
    expect(await page.locator(".wait").count()).toBe(3);
    expect(await page.locator("svg").getAttribute("aria-label")).toContain("rank 0 waits for rank 3");
    expect(tabs.problems).toEqual([]);
  });

  it("has room for one rank, for 32 with long names, and for none", async () => {
    const live = await openLive([temporaryFolder()], 0);
    onTestFinished(() => live.close());
    for (const size of [0, 1, 32]) {
      const page = await tabs.open("about:blank");
      await page.route("**/state.json", (route) => route.fulfill({ json: crowd(size) }));
      await page.goto(live.url);
      await says(page, size === 0 ? /^Waiting for the first rank/ : /^all ranks go on$/);
      await tabs.inspect(page, `ranks-${size}`);
    }
    expect(tabs.problems).toEqual([]);
  });
});

/** A job of `size` ranks in a ring, of which two wait. */
function crowd(size: number): LiveState {
  const all = Array.from({ length: size }, (_, rank) => rank);
  return {
    sentence: size === 0 ? null : "all ranks go on",
    ...{ isStalled: false, culprits: [], size, trouble: null },
    ranks: all.map((rank) => ({
      ...{ rank, silentMs: null, isRunning: rank % 2 === 0, sinceMs: 12.5 * rank },
      runtime: rank % 3 === 0 ? "node 20.20.2" : "chromium 156.0.7390.65 on linux",
      call: rank % 5 === 0 ? "reduceScatterTensorCoalesced #1234567 (persistent)" : `allReduce #${rank}`,
      memoryBytes: 1.5 * 2 ** 30,
    })),
    waits: size > 2 ? [1, 3].map((from) => ({ from, to: 2 })) : [],
    links:
      size < 2
        ? []
        : all.map((from) => ({
            ...{ from, to: (from + 1) % size, bytes: 2 ** 34, bytesPerSecond: 2 ** 24 * (1 + from), waitedMs: 123_456 },
          })),
  };
}

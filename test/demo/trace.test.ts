import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { AxeResults } from "axe-core";
import type { Browser, Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { build, isBuilt } from "../../scripts/build.ts";
import { launchChromium } from "../../src/cli/launch/chromium.ts";
import { openLive } from "../../src/cli/trace/trace-live.ts";
import { freePort } from "../helpers/free-port.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PICTURES = fileURLToPath(new URL("../../test-results/trace/", import.meta.url));
const PROGRAM = fileURLToPath(new URL("programs/steady.mjs", import.meta.url));
const VIEWS = {
  light: { viewport: { width: 1200, height: 900 } },
  dark: { viewport: { width: 1200, height: 900 }, colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 },
} as const;
/** A stalled rank is named within this time. */
const NAMED_MS = 3_000;
const SIZE = 4;

describe("webccl trace --live", { timeout: 90_000 }, () => {
  let browser: Browser;

  beforeAll(async () => {
    if (!isBuilt()) await build();
    mkdirSync(PICTURES, { recursive: true });
    browser = await launchChromium();
  }, 90_000);

  afterAll(() => browser?.close());

  /** Ranks that reduce, and a page on them in each view. */
  async function open(
    env: Record<string, string>,
  ): Promise<{ ranks: ChildProcess[]; pages: Page[]; problems: string[] }> {
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
    const problems: string[] = [];
    const pages = await Promise.all(
      Object.values(VIEWS).map(async (view) => {
        const context = await browser.newContext(view);
        onTestFinished(() => context.close());
        const page = await context.newPage();
        page.on("pageerror", (error) => problems.push(String(error)));
        page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
        await page.goto(live.url);
        return page;
      }),
    );
    return { ranks, pages, problems };
  }

  const says = (page: Page, text: RegExp) =>
    page.waitForFunction(
      (pattern) => new RegExp(pattern).test(document.getElementById("sentence")?.textContent ?? ""),
      text.source,
      { timeout: 20_000 },
    );

  async function expectWell(pages: readonly Page[], name: string): Promise<void> {
    for (const [index, page] of pages.entries()) {
      await page.screenshot({ path: `${PICTURES}${name}-${Object.keys(VIEWS)[index]}.png`, fullPage: true });
      await page.evaluate(AXE);
      const { violations } = await page.evaluate<AxeResults>("axe.run()");
      expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual([]);
      const width = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(width, "what is wider than the view").toBeLessThanOrEqual(0);
      const cut = await page.evaluate(() =>
        [...document.querySelectorAll(".scroll")]
          .filter((box) => box.scrollWidth > box.clientWidth)
          .map((box) => box.textContent?.replace(/\s+/g, " ")),
      );
      expect(cut, "tables that do not fit").toEqual([]);
    }
  }

  it("shows ranks that go on, and names one that is stopped within 3 s, however they are linked", async () => {
    for (const [index, transport] of ["shared-file", "websocket"].entries()) {
      const { ranks, pages, problems } = await open({ TRANSPORT: transport });
      const [page] = pages as [Page];
      for (const one of pages) await says(one, /^all ranks go on$/);
      await page.waitForFunction(() => document.querySelectorAll("#links tr").length === 12);
      if (index === 0) await expectWell(pages, "well");
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
      if (index === 0) await expectWell(pages, "stopped");
      expect(problems).toEqual([]);
    }
  });

  it("names a rank that lives and calls nothing more", async () => {
    const { ranks, pages, problems } = await open({});
    const [page] = pages as [Page];
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
    expect(problems).toEqual([]);
  });
});

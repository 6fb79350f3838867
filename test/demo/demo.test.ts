import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { AxeResults } from "axe-core";
import type { Browser, BrowserContextOptions, Page } from "playwright";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { build, isBuilt } from "../../scripts/build.ts";
import { openDemo } from "../../src/cli/demo.ts";
import { launchChromium } from "../../src/cli/launch/chromium.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PICTURES = fileURLToPath(new URL("../../test-results/demo/", import.meta.url));
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, colorScheme: "dark" } as const;
const DESKTOP = { viewport: { width: 1200, height: 900 } } as const;

describe("webccl demo", { timeout: 90_000 }, () => {
  let browser: Browser;
  let demo: Awaited<ReturnType<typeof openDemo>>;
  const problems: string[] = [];
  const contexts: { close(): Promise<void> }[] = [];

  beforeAll(async () => {
    if (!isBuilt()) await build();
    mkdirSync(PICTURES, { recursive: true });
    browser = await launchChromium();
  }, 90_000);

  afterEach(async () => {
    for (const context of contexts.splice(0)) await context.close();
    await demo.close();
  });

  afterAll(() => browser?.close());

  async function openTab(options: BrowserContextOptions = DESKTOP): Promise<Page> {
    const context = await browser.newContext(options);
    contexts.push(context);
    const page = await context.newPage();
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    await page.goto(demo.urls[0]!);
    return page;
  }

  const says = (page: Page, id: string, text: RegExp) =>
    page.waitForFunction(
      ([element, pattern]) => new RegExp(pattern!).test(document.getElementById(element!)?.textContent ?? ""),
      [id, text.source],
      { timeout: 30_000 },
    );
  const picture = (page: Page, name: string) => page.screenshot({ path: `${PICTURES}${name}.png`, fullPage: true });

  async function expectAccessible(page: Page): Promise<void> {
    await page.evaluate(AXE);
    const { violations } = await page.evaluate<AxeResults>("axe.run()");
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual([]);
  }

  it.each([
    ["//", 400],
    ["///", 400],
    ["/assets", 404],
    ["/assets/", 404],
    ["/..%2f..%2fpackage.json", 404],
    ["/nothing.js", 404],
    ["http://[", 400],
    ["*", 404],
  ])("answers GET %s with %i, and goes on", async (path, status) => {
    demo = await openDemo({ port: 0 });
    const { hostname, port } = new URL(demo.urls[0]!);
    const ask = async (target: string) => {
      const asked = request({ hostname, port, path: target }).end();
      const [{ statusCode }] = await once(asked, "response");
      return statusCode;
    };
    expect(await ask(path)).toBe(status);
    expect(await ask("/")).toBe(200);
  });

  it("makes every tab a rank, runs and checks, and goes on when one leaves", async () => {
    demo = await openDemo({ port: 0 });
    const [desktop, phone, third] = [await openTab(), await openTab(PHONE), await openTab()];
    for (const page of [desktop, phone, third]) await says(page, "status", /3 ranks, ready/);

    await desktop.selectOption("#size", "65536");
    await desktop.focus("#run");
    await desktop.keyboard.press("Enter");
    for (const page of [desktop, phone, third]) await says(page, "verdict", /all_reduce of f32.*every element right/);
    expect(await phone.locator("#rows tr").count()).toBe(4);
    await picture(desktop, "desktop-light");
    await picture(phone, "phone-dark");
    await expectAccessible(desktop);
    await expectAccessible(phone);
    expect(await phone.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    const cut = await phone.evaluate(
      () => [...document.querySelectorAll(".scroll")].filter((box) => box.scrollWidth > box.clientWidth).length,
    );
    expect(cut, "tables that do not fit a phone").toBe(0);

    await third.close();
    await says(desktop, "notice-text", /Rank 2 \(Chrome .*\) has left/);
    await picture(desktop, "rank-left");
    await expectAccessible(desktop);
    await desktop.click("#go-on");
    for (const page of [desktop, phone]) await says(page, "status", /2 ranks, ready/);
    await phone.selectOption("#collective", "all_gather");
    await phone.click("#run");
    for (const page of [desktop, phone]) await says(page, "verdict", /all_gather of f32.*every element right/);
    expect(problems).toEqual([]);
  });

  it("asks for the token of a hub that has one, and says when it is wrong", async () => {
    process.env.WEBCCL_TOKEN = "right";
    demo = await openDemo({ port: 0 });
    delete process.env.WEBCCL_TOKEN;
    const page = await openTab();
    await says(page, "notice-text", /This hub asks for a token/);
    await page.fill("#token", "wrong");
    await page.keyboard.press("Enter");
    await says(page, "notice-text", /That is not this hub's token/);
    await expectAccessible(page);
    await page.fill("#token", "right");
    await page.keyboard.press("Enter");
    await says(page, "status", /One rank, this tab/);
    expect(page.url()).not.toContain("right");
  });

  it("says that the hub is gone, and what to do", async () => {
    demo = await openDemo({ port: 0 });
    const page = await openTab();
    await says(page, "status", /One rank/);
    await demo.close();
    await says(page, "notice-text", /The hub is gone. Start it again/);
    expect(await page.isDisabled("#run")).toBe(true);
  });
});

/** Tabs of a page that a test opens, what they say, and what axe-core says of them. */
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { AxeResults } from "axe-core";
import type { Browser, BrowserContextOptions, Page } from "playwright";
import { expect } from "vitest";
import { launchChromium } from "../../src/cli/launch/chromium.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, colorScheme: "dark" } as const;
const DESKTOP = { viewport: { width: 1200, height: 900 } } as const;
/** The widths and colours in which pages are looked at. */
const VIEWS = [
  { name: "light", width: 1200, height: 900, colorScheme: "light" },
  { name: "dark", width: 1200, height: 900, colorScheme: "dark" },
  { name: "phone", width: 390, height: 844, colorScheme: "light" },
] as const;

export class Tabs {
  /** Errors of all tabs. */
  readonly problems: string[] = [];
  readonly #browser: Browser;
  readonly #pictures: string;
  readonly #contexts: { close(): Promise<void> }[] = [];

  private constructor(browser: Browser, pictures: string) {
    this.#browser = browser;
    this.#pictures = pictures;
  }

  /** Pictures go into this folder of test-results/. */
  static async launch(pictures: string): Promise<Tabs> {
    const folder = fileURLToPath(new URL(`../../test-results/${pictures}/`, import.meta.url));
    mkdirSync(folder, { recursive: true });
    return new Tabs(await launchChromium(), folder);
  }

  async open(url: string, options: BrowserContextOptions = DESKTOP): Promise<Page> {
    const context = await this.#browser.newContext(options);
    this.#contexts.push(context);
    const page = await context.newPage();
    page.on("pageerror", (error) => this.problems.push(String(error)));
    page.on("console", (message) => message.type() === "error" && this.problems.push(message.text()));
    await page.goto(url);
    return page;
  }

  picture(page: Page, name: string): Promise<unknown> {
    return page.screenshot({ path: `${this.#pictures}${name}.png`, fullPage: true });
  }

  /** Looks at a page in light, dark and on a phone: leaves pictures, and everything is accessible and fits. */
  async inspect(page: Page, name: string): Promise<void> {
    for (const { name: view, width, height, colorScheme } of VIEWS) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height });
      await this.picture(page, `${name}-${view}`);
      await expectAccessible(page);
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(wider, `${name} in ${view} is wider than its view`).toBeLessThanOrEqual(0);
      expect(await page.evaluate(SMALL_WORDS), `${name} in ${view} has words below 12 px`).toEqual([]);
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize(DESKTOP.viewport);
  }

  /** Closes the tabs that were opened. */
  async closeAll(): Promise<void> {
    for (const context of this.#contexts.splice(0)) await context.close();
  }

  async close(): Promise<void> {
    await this.#browser.close();
  }
}

/** Words that are shown smaller than 12 pixels. Those of a drawing shrink with it. */
const SMALL_WORDS = `[...document.querySelectorAll("body *")].filter((one) => {
  const hasWords = [...one.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim() !== "");
  if (!hasWords || one.closest("script, style, [hidden]") || one.getClientRects().length === 0) return false;
  const scale = one instanceof SVGElement ? one.getScreenCTM().d : 1;
  return parseFloat(getComputedStyle(one).fontSize) * scale < 11.99;
}).map((one) => one.textContent.slice(0, 40))`;

/** Resolves when an element's text matches. */
export function says(page: Page, id: string, text: RegExp): Promise<unknown> {
  return page.waitForFunction(
    ([element, pattern]) => new RegExp(pattern!).test(document.getElementById(element!)?.textContent ?? ""),
    [id, text.source],
    { timeout: 30_000 },
  );
}

export async function expectAccessible(page: Page): Promise<void> {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate<AxeResults>("axe.run()");
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual([]);
}

/** Nothing is wider than a phone, and no table must be scrolled there. */
export async function expectFitsPhone(page: Page): Promise<void> {
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  const cut = await page.evaluate(
    () => [...document.querySelectorAll(".scroll")].filter((box) => box.scrollWidth > box.clientWidth).length,
  );
  expect(cut, "tables that do not fit a phone").toBe(0);
}

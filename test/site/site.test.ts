/** The documentation site, as `npm run docs` builds it: its links, its looks in light, dark and on a phone, and its search. */
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { buildSite } from "../../scripts/site/build.ts";
import { expectAccessible, PHONE, Tabs } from "../helpers/tabs.ts";

const html = fileURLToPath(new URL("../../site/html/", import.meta.url));
const TYPES: Readonly<Record<string, string>> = {
  ...{
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
  },
};

/** The pages that are looked at: one of each kind. */
const LOOKED_AT = [
  "",
  "getting-started",
  "errors",
  "options",
  "performance",
  "architecture",
  "api/webccl/",
  "api/webccl/interfaces/ProcessGroup",
];

const VIEWS = {
  light: { viewport: { width: 1280, height: 900 }, colorScheme: "light" },
  dark: { viewport: { width: 1280, height: 900 }, colorScheme: "dark" },
  "phone-light": { ...PHONE, colorScheme: "light" },
  "phone-dark": PHONE,
} as const;

/** Every page of the site, by its path, with its anchors and the addresses in it. */
function readPages(): Map<string, { anchors: Set<string>; targets: string[] }> {
  const files = readdirSync(html, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".html"));
  return new Map(
    files.map((file) => {
      const text = readFileSync(join(html, file), "utf8");
      const values = (pattern: RegExp) =>
        [...text.matchAll(pattern)].map(([, value]) => decodeURI(value!.replaceAll("&amp;", "&")));
      return [`/${file}`, { anchors: new Set(values(/ id="([^"]*)"/g)), targets: values(/ (?:href|src)="([^"]*)"/g) }];
    }),
  );
}

describe("the documentation site", { timeout: 120_000 }, () => {
  let server: Server;
  let origin: string;
  let tabs: Tabs;

  beforeAll(async () => {
    await buildSite();
    server = createServer((request, response) => {
      const path = decodeURI(new URL(request.url!, "http://site").pathname).replace(/\/$/, "/index.html");
      const file = join(html, path);
      if (!existsSync(file)) return void response.writeHead(404).end();
      response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
      createReadStream(file).pipe(response);
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    tabs = await Tabs.launch("site");
  }, 300_000);

  afterEach(() => tabs.closeAll());

  afterAll(async () => {
    await tabs?.close();
    server?.close();
  });

  it("has links, anchors and files that are there, and loads nothing from elsewhere", () => {
    const pages = readPages();
    expect(pages.size).toBeGreaterThan(150);
    const dead: string[] = [];
    for (const [page, { targets }] of pages) {
      for (const target of targets) {
        if (/^(https?:|mailto:|data:)/.test(target)) continue;
        const [path = "", anchor] = target.split("#");
        const to = path === "" ? page : posix.resolve(posix.dirname(page), path.replace(/\/$/, "/index.html"));
        const isThere = pages.has(to) || (existsSync(join(html, to)) && statSync(join(html, to)).isFile());
        if (!isThere || (anchor && !pages.get(to)?.anchors.has(anchor))) dead.push(`${page}: ${target}`);
      }
    }
    expect(dead).toEqual([]);
    for (const page of pages.keys()) {
      const text = readFileSync(join(html, page), "utf8");
      expect(text.match(/<(?:script|link|img|iframe)[^>]*(?:src|href)="https?:[^"]*"/g), page).toBeNull();
    }
  });

  it.each(Object.entries(VIEWS))("can be read in %s by everybody", async (name, view) => {
    for (const path of LOOKED_AT) {
      const page = await tabs.open(`${origin}${path}${path === "" || path.endsWith("/") ? "" : ".html"}`, view);
      await page.waitForSelector("#VPContent");
      await tabs.picture(page, `${path.replace(/\/$/, "").replaceAll("/", "-") || "home"}-${name}`);
      await expectAccessible(page);
      expect(await page.evaluate(() => document.documentElement.scrollWidth), path).toBeLessThanOrEqual(
        view.viewport.width,
      );
      await tabs.closeAll();
    }
    expect(tabs.problems).toEqual([]);
  });

  it.each([
    ["PEER_LOST", "/errors.html#peer_lost"],
    ["broadcastCoalesced", "/api/webccl/ddp/functions/broadcastCoalesced.html"],
    ["--no-kill", "/membership.html#guide"],
    ["shrink", "/api/webccl/interfaces/ProcessGroup.html#shrink"],
  ])("finds %s in its own index", async (word, place) => {
    const page = await tabs.open(origin, VIEWS.light);
    await page.waitForSelector("#VPContent");
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    await page.keyboard.press("Control+k");
    await page.fill("#localsearch-input", word);
    const found = page.locator("#localsearch-list a");
    await found.first().waitFor({ timeout: 60_000 });
    expect(await found.first().getAttribute("href")).toContain(place);
    await tabs.picture(page, `search-${word}`);
    expect(asked.filter((url) => !url.startsWith(origin))).toEqual([]);
  });
});

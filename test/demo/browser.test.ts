import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { build, isBuilt } from "../../scripts/build.ts";
import { FACTS } from "../../src/cli/info/browser-facts.ts";
import { start } from "../cli/command.ts";
import { says, Tabs } from "../helpers/tabs.ts";

describe("webccl info --browsers link", { timeout: 180_000 }, () => {
  let tabs: Tabs;

  beforeAll(async () => {
    if (!isBuilt()) await build();
    tabs = await Tabs.launch("browser");
  }, 90_000);

  afterAll(() => tabs?.close());

  it("tells what the browser has in which somebody opens its address, as its page does", async () => {
    const { process: child, ended } = start(["info", "--browsers", "link", "--json"]);
    const [asked] = await once(child.stderr ?? child, "data");
    const [url] = /http:\S+/.exec(String(asked)) ?? [];
    const report = (headers: Record<string, string>) =>
      fetch(`${url}report/`, { method: "POST", body: '{"threads":{"has":"yes"}}', headers });
    expect((await report({ origin: "http://elsewhere.example" })).status).toBe(403);
    expect((await report({})).status, "a report with no facts").toBe(400);
    const page = await tabs.open(url ?? "");
    const { browsers } = JSON.parse((await ended).stdout);
    expect(browsers).toMatchObject([{ browser: expect.stringMatching(/^Chrome \d+ on /), settings: null }]);
    expect(Object.keys(browsers[0].facts)).toEqual(Object.keys(FACTS));
    expect(browsers[0].facts).toMatchObject({ threads: { has: true, note: null }, simd: { has: true, note: null } });
    await says(page, "status", /The command has been told/);
    expect(await page.locator("#facts tr").count()).toBe(Object.keys(FACTS).length);
    await tabs.inspect(page, "facts");
    expect(tabs.problems).toEqual([]);
  });
});

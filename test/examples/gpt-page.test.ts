import type { Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildPage } from "../../examples/gpt/serve.ts";
import { openPage } from "../../src/cli/demo.ts";
import { expectAccessible, expectFitsPhone, PHONE, says, Tabs } from "../helpers/tabs.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";

/** The number of steps that a page shows. */
const stepOf = async (page: Page) => Number(/Step (\d+)/.exec((await page.textContent("#progress")) ?? "")?.[1] ?? 0);

/** Resolves when a page shows so many steps more. */
async function trainsOn(page: Page, steps: number): Promise<void> {
  const goal = (await stepOf(page)) + steps;
  await page.waitForFunction(
    (least) => Number(/Step (\d+)/.exec(document.getElementById("progress")?.textContent ?? "")?.[1]) >= least,
    goal,
    { timeout: 60_000 },
  );
}

/** The hashes that a page shows of all ranks' weights. */
const hashesOf = (page: Page) => page.locator("#ranks td:last-child").allTextContents();

describe("examples/gpt/serve.ts", { timeout: 240_000 }, () => {
  let tabs: Tabs;
  beforeAll(async () => {
    tabs = await Tabs.launch("gpt");
  }, 90_000);
  afterAll(() => tabs?.close());

  it("lets every tab train along, with the same weights, when tabs come and when they go", async () => {
    const server = await openPage({ port: 0 }, await buildPage(temporaryFolder()));
    const open = (options?: Parameters<Tabs["open"]>[1]) => tabs.open(server.urls[0]!, options);
    const desktop = await open();
    await says(desktop, "status", /One rank, this tab, trains/);
    await trainsOn(desktop, 3);
    const alone = await stepOf(desktop);

    const phone = await open(PHONE);
    for (const page of [desktop, phone]) await says(page, "status", /2 ranks train together/);
    await trainsOn(phone, 3);
    // The newcomer goes on where the first had come.
    expect(await stepOf(phone)).toBeGreaterThan(alone);
    const hashes = await hashesOf(phone);
    expect(hashes).toHaveLength(2);
    expect(hashes[0]).toMatch(/^[0-9a-f]{6}$/);
    expect(new Set(hashes).size).toBe(1);
    expect(await phone.textContent("#same")).toContain("the same weights, to the last bit");
    expect((await phone.textContent("#text"))?.length).toBeGreaterThan(3);
    for (const [page, name] of [
      [desktop, "desktop-light"],
      [phone, "phone-dark"],
    ] as const) {
      await tabs.picture(page, name);
      await expectAccessible(page);
    }
    await expectFitsPhone(phone);

    await desktop.context().close();
    await says(phone, "status", /One rank, this tab, trains/);
    await trainsOn(phone, 2);
    const third = await open();
    for (const page of [phone, third]) await says(page, "status", /2 ranks train together/);
    await trainsOn(third, 2);
    expect(new Set(await hashesOf(third)).size).toBe(1);
    expect(tabs.problems).toEqual([]);
    await tabs.closeAll();
    await server.close();
  });
});

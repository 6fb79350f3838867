import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { build, isBuilt } from "../../scripts/build.ts";
import { openPage } from "../../src/cli/demo.ts";
import { expectAccessible, expectFitsPhone, PHONE, says, Tabs } from "../helpers/tabs.ts";

describe("webccl demo", { timeout: 90_000 }, () => {
  let tabs: Tabs;
  let demo: Awaited<ReturnType<typeof openPage>>;

  beforeAll(async () => {
    if (!isBuilt()) await build();
    tabs = await Tabs.launch("demo");
  }, 90_000);

  afterEach(async () => {
    await tabs.closeAll();
    await demo.close();
  });

  afterAll(() => tabs?.close());

  const openTab = (options?: Parameters<Tabs["open"]>[1]) => tabs.open(demo.urls[0]!, options);

  it("makes every tab a rank, runs and checks, and goes on when one leaves and another comes", async () => {
    demo = await openPage({ port: 0 });
    const [desktop, phone, third] = [await openTab(), await openTab(PHONE), await openTab()];
    for (const page of [desktop, phone, third]) await says(page, "status", /3 ranks, ready/);

    await desktop.selectOption("#size", "65536");
    await desktop.focus("#run");
    await desktop.keyboard.press("Enter");
    for (const page of [desktop, phone, third]) await says(page, "verdict", /all_reduce of f32.*every element right/);
    expect(await phone.locator("#rows tr").count()).toBe(4);
    await tabs.picture(desktop, "desktop-light");
    await tabs.picture(phone, "phone-dark");
    await expectAccessible(desktop);
    await expectAccessible(phone);
    await expectFitsPhone(phone);

    await third.close();
    await says(desktop, "notice-text", /Rank 2 \(Chrome .*\) has left/);
    await tabs.picture(desktop, "rank-left");
    await expectAccessible(desktop);
    await desktop.click("#go-on");
    for (const page of [desktop, phone]) await says(page, "status", /2 ranks, ready/);
    const fourth = await openTab();
    for (const page of [desktop, phone, fourth]) await says(page, "status", /3 ranks, ready/);
    await phone.selectOption("#collective", "all_gather");
    await phone.click("#run");
    for (const page of [desktop, phone, fourth]) await says(page, "verdict", /all_gather of f32.*every element right/);
    expect(tabs.problems).toEqual([]);
  });

  it("asks for the token of a hub that has one, and says when it is wrong", async () => {
    process.env.WEBCCL_TOKEN = "right";
    demo = await openPage({ port: 0 });
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
    demo = await openPage({ port: 0 });
    const page = await openTab();
    await says(page, "status", /One rank/);
    await demo.close();
    await says(page, "notice-text", /The hub is gone. Start it again/);
    expect(await page.isDisabled("#run")).toBe(true);
  });
});

import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { build, isBuilt } from "../../scripts/build.ts";
import { openPage } from "../../src/cli/demo.ts";
import { expectAccessible, expectFitsPhone, PHONE, says, Tabs } from "../helpers/tabs.ts";

const { homepage: HOMEPAGE }: { homepage?: string } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
);

/** A page's only row 32 times, with long names: what so many ranks look like. */
const CROWD = `{
  const [row] = document.getElementById("ranks").children;
  for (let rank = 1; rank < 32; rank++) {
    const other = row.cloneNode(true);
    other.firstChild.textContent = rank;
    other.children[1].firstChild.textContent = rank % 2 ? "A browser 156.0.7390.65 on Android" : "Firefox 153 on Windows";
    other.querySelector(".gpu").textContent = rank % 3 ? "no GPU" : "ANGLE (NVIDIA, NVIDIA GeForce RTX 4090 Laptop GPU (0x00002757) Direct3D11 vs_5_0 ps_5_0, D3D11)";
    row.after(other);
  }
}`;

describe("webccl demo", { timeout: 180_000 }, () => {
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

  it("says what to do where nothing has run, and shows the program", async () => {
    demo = await openPage({ port: 0 });
    const page = await openTab();
    await says(page, "status", /One rank, this tab/);
    await says(page, "next", /Open this page in a second tab, or more.*press “Run on all ranks”/);
    await says(page, "program", /worldSize: 1,[\s\S]*await group.allReduce\(tensor, { op: "sum" }\);$/);
    await page.selectOption("#collective", "all_to_all");
    await page.selectOption("#dtype", "i64");
    await says(
      page,
      "program",
      /group.alloc\("i64", count \* group.size\)[\s\S]*group.allToAllSingle\(output, input\)/,
    );
    expect(await page.isVisible("#qr"), "nobody else opens a loopback address").toBe(false);
    await says(page, "join-command", /^webccl demo --host 0.0.0.0 --insecure$/);
    await tabs.inspect(page, "idle");
    for (const column of await page.locator("th[aria-describedby]").all()) {
      expect((await column.getAttribute("title"))?.length).toBeGreaterThan(20);
    }
    expect(tabs.problems).toEqual([]);
  });

  it("has a QR code where other devices reach it", async () => {
    demo = await openPage({ port: 0, host: "0.0.0.0", insecure: true });
    // By loopback, where the page is a secure context.
    const page = await tabs.open(`http://127.0.0.1:${new URL(demo.urls[0] ?? "").port}/`);
    await says(page, "status", /One rank, this tab/);
    await says(page, "join-where", /on another device/);
    expect(await page.isVisible("#qr svg")).toBe(true);
    expect(await page.isVisible("#join-phones")).toBe(false);
    expect(await page.isVisible("#docs"), "nobody has said where the documentation is").toBe(HOMEPAGE !== undefined);
    await page.route("**/join.json", (route) =>
      route.fulfill({ json: { urls: demo.urls, docs: "https://docs.example/" } }),
    );
    await page.reload();
    await page.waitForSelector("#docs[href='https://docs.example/']");
    await says(page, "status", /One rank, this tab/);
    await page.evaluate(CROWD);
    await tabs.inspect(page, "reachable-crowd");
  });

  it("makes every tab a rank, runs and checks, and goes on when one leaves and another comes", async () => {
    demo = await openPage({ port: 0 });
    const [desktop, phone, third] = [await openTab(), await openTab(PHONE), await openTab()];
    for (const page of [desktop, phone, third]) await says(page, "status", /3 ranks, ready/);

    await desktop.selectOption("#size", "65536");
    await desktop.focus("#run");
    await desktop.keyboard.press("Enter");
    for (const page of [desktop, phone, third]) await says(page, "verdict", /all_reduce of f32.*every element right/);
    expect(await phone.locator("#rows tr").count()).toBe(4);
    await tabs.inspect(desktop, "measured");
    await expectFitsPhone(phone);
    expect(await desktop.locator("#plot .u-wrap").getAttribute("aria-label")).toMatch(
      /^algbw and busbw over 4 sizes; the best/,
    );
    // The chart fills its room.
    const [chart, room] = await Promise.all(
      ["#plot canvas", "#plot"].map((place) => desktop.locator(place).boundingBox()),
    );
    expect(chart?.width).toBeCloseTo(room?.width ?? 0, -1);

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

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Page } from "playwright";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { htmlReport } from "../../bench/peers/report.ts";
import { build, isBuilt } from "../../scripts/build.ts";
import { webccl } from "../cli/command.ts";
import { gpuEnvironment } from "../helpers/gpu.ts";
import { Tabs } from "../helpers/tabs.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";

const CIRCUMSTANCES = {
  machine: "64 × AMD EPYC 9654 96-Core Processor with a name that goes on and on, 755 GiB",
  ...{ runtime: "node 26.0.0", version: "0.1.0", date: "2026-11-28 12:00 UTC" },
  command: "npm run bench:peers -- --collectives all_reduce --ranks 2,4 --rounds 11 --only threads,mapped-memory,gloo",
};

describe("reports", { timeout: 240_000 }, () => {
  let tabs: Tabs;

  beforeAll(async () => {
    if (!isBuilt()) await build();
    tabs = await Tabs.launch("reports");
  }, 90_000);

  afterEach(() => tabs.closeAll());

  afterAll(() => tabs?.close());

  /** The page that a command writes. */
  async function written(name: string, args: readonly string[]): Promise<Page> {
    const html = join(temporaryFolder(), `${name}.html`);
    const { code, stderr } = await webccl([...args, "--html", html], gpuEnvironment());
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(readFileSync(html, "utf8")).not.toMatch(/https?:/);
    return tabs.open(pathToFileURL(html).href);
  }

  it("of bench kernels has one row a dtype, and says under which circumstances", async () => {
    const page = await written("kernels", ["bench", "kernels", "-b", "96K"]);
    const facts = await page.locator(".facts").textContent();
    for (const fact of [/Machine/, /node \d+/, /0\.1\.0/, /UTC/, /webccl bench kernels -b 96K --html/])
      expect(facts).toMatch(fact);
    const devices = page.locator("table.columns");
    expect(await devices.count()).toBeGreaterThanOrEqual(3);
    const dtypes = await devices.first().locator("tbody th").allInnerTexts();
    expect(new Set(dtypes).size).toBe(dtypes.length);
    expect(dtypes).toContain("bf16");
    await tabs.inspect(page, "kernels");
  });

  it.each([
    ["2", ["algbw = busbw"]],
    ["3", ["algbw", "busbw"]],
  ])("of a collective on %s ranks has a plot of %j, and a row for each size", async (ranks, names) => {
    const words = ["-n", ranks, "-e", "1M", "-f", "4", "-i", "5", "-w", "2", "--threads"];
    const page = await written(`all-reduce-${ranks}`, ["bench", "all_reduce", ...words]);
    expect(await page.locator("table.rows tbody tr").count()).toBe(8);
    expect(await page.locator(".keys li").allInnerTexts()).toEqual(names);
    expect(await page.locator("svg polyline").count()).toBe(names.length);
    expect(await page.locator("td.bar span").first().textContent()).toMatch(/^[\d.]+ [kMG]B\/s/);
    await tabs.inspect(page, `all-reduce-${ranks}`);
  });

  it("of a barrier draws nothing", async () => {
    const page = await written("barrier", ["bench", "barrier", "-i", "5", "-w", "2", "--threads"]);
    expect(await page.locator("table.rows tbody tr").count()).toBe(1);
    await tabs.inspect(page, "barrier");
  });

  it("of the peers has their lines and ratios", async () => {
    const sizes = Array.from({ length: 11 }, (_, i) => 64 * 4 ** i);
    const names = [
      "webccl, threads",
      "webccl, mapped-memory",
      "webccl, shared-file",
      "webccl, websocket",
      "Open MPI",
      "gloo <2.0>",
    ];
    const lines = names.map((name, i) => ({
      name,
      medians: sizes.map((bytes): [number, number] => [bytes, 5 * (i + 1) + bytes / (400 * (i + 1))]),
      extraRssBytes: [],
      ratios:
        i > 0 ? [] : [{ peer: "Open MPI", rows: sizes.map((bytes) => ({ bytes, min: 0.8, median: 1.1, max: 123.4 })) }],
    }));
    const file = join(temporaryFolder(), "peers.html");
    writeFileSync(
      file,
      htmlReport([{ collective: "all_reduce", ranks: 4, lines }], CIRCUMSTANCES, ["gloo: PyTorch is not installed"]),
    );
    const page = await tabs.open(pathToFileURL(file).href);
    expect(await page.locator(".keys li").allInnerTexts()).toEqual(names);
    await tabs.inspect(page, "peers");
    expect(tabs.problems).toEqual([]);
  });
});

import { beforeAll, describe, expect, it } from "vitest";
import { build, isBuilt } from "../../../scripts/build.ts";
import { supportTable, writtenTable } from "../../../scripts/build-support.ts";
import type { BrowserReport } from "../../../src/cli/info/browser-facts.ts";
import { describeBrowsers, reportsOf } from "../../../src/cli/info/browsers.ts";
import { installedBrowsers } from "../../../src/cli/info/installed-browsers.ts";
import { NO_GPU } from "./engine.ts";

/** Versions change with the system's packages, and the facts must not. */
const withoutVersions = (text: string) => text.replace(/\d+(\.\d+)+/g, "N").replace(/ +|-{3,}/g, " ");

describe("webccl info --browsers", { timeout: 200_000 }, () => {
  let reports: BrowserReport[];

  beforeAll(async () => {
    if (!isBuilt()) await build();
    const found = await reportsOf(installedBrowsers());
    expect(found.silent).toEqual([]);
    ({ reports } = found);
  }, 190_000);

  it("finds in each engine what the other tests of this folder use", () => {
    expect(reports.map(({ browser }) => browser.split(" ")[0])).toEqual(["Chromium", "Firefox", "WebKitGTK"]);
    const lacking = reports.filter(({ facts }) => !facts.webgpu.has).map(({ browser }) => browser.toLowerCase());
    expect(lacking.map((name) => NO_GPU.find((engine) => name.startsWith(engine)))).toEqual([...NO_GPU]);
    for (const { browser, facts } of reports) {
      for (const name of ["isolated", "sharedMemory", "threads", "simd", "messagePorts"] as const) {
        expect(facts[name], `${browser}: ${name}`).toEqual({ has: true, note: null });
      }
    }
  });

  it("finds what docs/support.md says: npm run build:support writes it anew", () => {
    expect(withoutVersions(supportTable(reports))).toBe(withoutVersions(writtenTable()));
  });

  it("is told within 80 columns", () => {
    const text = describeBrowsers(reports, [
      { browser: "Opera 1", reason: "its page did not answer within 60 s, ".repeat(5) },
    ]);
    for (const line of text.split("\n")) expect(line.length, line).toBeLessThanOrEqual(80);
    expect(text).toMatch(/^WebAssembly SIMD +yes +yes +yes$/m);
  });
});

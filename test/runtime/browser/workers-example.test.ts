import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { preview, build as viteBuild } from "vite";
import { expect, it, onTestFinished } from "vitest";
import { build, isBuilt } from "../../../scripts/build.ts";
import { launchChromium } from "../../../src/cli/launch/chromium.ts";

const ROOT = fileURLToPath(new URL("../../../examples/workers/", import.meta.url));

it("examples/workers runs as a site that Vite built with the package", { timeout: 120_000 }, async () => {
  if (!isBuilt()) await build();
  const outDir = mkdtempSync(join(tmpdir(), "webccl-workers-"));
  onTestFinished(() => rmSync(outDir, { recursive: true }));
  await viteBuild({ root: ROOT, logLevel: "error", build: { outDir } });
  const [server, browser] = await Promise.all([
    preview({ root: ROOT, build: { outDir }, preview: { port: 0, host: "127.0.0.1" } }),
    launchChromium(),
  ]);
  onTestFinished(() => browser.close());
  onTestFinished(() => server.close());
  const page = await browser.newPage();
  await page.goto(server.resolvedUrls!.local[0]!);
  await page.waitForFunction(() => !/Starting/.test(document.body.textContent ?? ""), null, { timeout: 30_000 });
  const lines = (await page.textContent("#output"))!.split("\n");
  expect(lines.map((line) => line.replace(/ in .*/, ""))).toEqual([0, 1, 2, 3].map((rank) => `rank ${rank} of 4: 10`));
});

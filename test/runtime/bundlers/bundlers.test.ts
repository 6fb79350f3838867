/**
 * The packed package in fresh projects of bundlers: each builds one page, which sums with a Node rank at a hub. The bundlers
 * come from npm in their newest versions, as they do for a user.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { build, isBuilt, root } from "../../../scripts/build.ts";
import { launchChromium } from "../../../src/cli/launch/chromium.ts";
import { type HubServer, startHub } from "../../../src/node/hub.ts";
import { initProcessGroup } from "../../../src/node/index.ts";

const PROJECT = fileURLToPath(new URL("project/", import.meta.url));
const PACKAGES = [
  "vite",
  "webpack",
  "webpack-cli",
  "rollup",
  "@rollup/plugin-node-resolve",
  "esbuild",
  "parcel",
  "next",
  "react",
  "react-dom",
];
const TYPES: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

/** What builds the page, and where the built page is, in the project. */
const BUNDLERS = {
  "import map": { command: [], page: "import-map.html" },
  vite: { command: ["vite", "build", "--outDir", "out/vite", "--base", "./"], page: "out/vite/index.html" },
  esbuild: {
    command: ["esbuild", "src/main.js", "--bundle", "--splitting", "--format=esm", "--outdir=out/esbuild"],
    page: "out/esbuild/main.js",
  },
  rollup: {
    command: ["rollup", "src/main.js", "--dir", "out/rollup", "-p", "node-resolve={browser:true}"],
    page: "out/rollup/main.js",
  },
  webpack: {
    command: ["webpack", "--mode", "production", "--entry", "./src/main.js", "-o", "out/webpack"],
    page: "out/webpack/main.js",
  },
  parcel: {
    command: ["parcel", "build", "index.html", "--dist-dir", "out/parcel", "--no-cache", "--public-url", "./"],
    page: "out/parcel/index.html",
  },
  next: { command: ["next", "build"], page: "out/next/index.html" },
};

describe("the packed package, bundled by", () => {
  let project: string;
  let origin: string;
  let browser: Browser;
  let hub: HubServer;
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    // The site of Next.js asks for its files from the root.
    const file = join(project, pathname.startsWith("/_next/") ? "out/next" : "", decodeURIComponent(pathname));
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return void response.writeHead(404).end();
    response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream").end(readFileSync(file));
  });

  beforeAll(async () => {
    if (!isBuilt()) await build();
    project = mkdtempSync(join(tmpdir(), "webccl-bundlers-"));
    cpSync(PROJECT, project, { recursive: true });
    const npm = (cwd: string, ...words: string[]) => execFileSync("npm", words, { cwd, encoding: "utf8" }).trim();
    const packed = npm(root, "pack", "--silent", "--ignore-scripts", "--pack-destination", project);
    npm(project, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", `./${packed}`, ...PACKAGES);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    [browser, hub] = await Promise.all([launchChromium(), startHub({ port: 0, origins: [origin] })]);
  }, 300_000);

  afterAll(async () => {
    await Promise.all([browser?.close(), hub?.close()]);
    server.close();
    rmSync(project, { recursive: true, force: true });
  });

  /** The warnings and errors of a build, as the bundler words them. */
  function bundle(command: readonly string[]): string {
    const [name = "", ...words] = command;
    const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1", PARCEL_WORKERS: "0", CI: "true" };
    // One stream: some tell warnings on one, some on the other.
    const shell = `"${join(project, "node_modules", ".bin", name)}" ${words.map((word) => `'${word}'`).join(" ")} 2>&1`;
    const { status, stdout } = spawnSync("sh", ["-c", shell], { cwd: project, env, encoding: "utf8" });
    const problems = stdout.split("\n").filter((line) => /(?<![\w-])(warning|error|critical)\b/i.test(line));
    return status === 0 ? problems.join("\n") : stdout;
  }

  it.each(Object.entries(BUNDLERS))("%s", { timeout: 240_000 }, async (name, { command, page }) => {
    if (command.length > 0) expect(bundle(command)).toBe("");
    let address = page;
    if (page.endsWith(".js")) {
      address = join(dirname(page), "index.html");
      mkdirSync(join(project, dirname(page)), { recursive: true });
      writeFileSync(join(project, address), '<!doctype html><script type="module" src="main.js"></script>');
    }
    const initMethod = `${hub.url}/${name.replace(" ", "-")}`;
    const tab = await browser.newPage();
    const problems: string[] = [];
    tab.on("pageerror", (error) => problems.push(String(error)));
    await tab.goto(`${origin}/${address}?hub=${encodeURIComponent(initMethod)}`);
    const group = await initProcessGroup({ initMethod, rank: 1, worldSize: 2, timeoutMs: 30_000 });
    const tensor = new Float32Array(1000).fill(2);
    await group.allReduce(tensor);
    expect(tensor[999]).toBe(3);
    await tab.waitForFunction(() => document.title.startsWith("sum "));
    expect({ title: await tab.title(), problems }).toEqual({ title: "sum 3", problems: [] });
    await group.destroy();
    await tab.close();
  });

  it("vite: examples/page.ts, which two tabs open", { timeout: 120_000 }, async () => {
    const folder = join(project, "page");
    mkdirSync(folder);
    // As it is, but for the port: another program may have the hub's own.
    const program = readFileSync(join(root, "examples/page.ts"), "utf8").replaceAll("29500", `${hub.port}`);
    writeFileSync(join(folder, "page.ts"), program);
    writeFileSync(join(folder, "index.html"), '<!doctype html><body><script type="module" src="page.ts"></script>');
    expect(bundle(["vite", "build", "page", "--outDir", "../out/page", "--emptyOutDir", "--base", "./"])).toBe("");
    const tabs = await Promise.all([browser.newPage(), browser.newPage()]);
    const said = tabs.map(async (tab) => {
      await tab.goto(`${origin}/out/page/index.html`);
      await tab.waitForFunction(() => document.body.textContent?.includes("has the sum"));
      return tab.textContent("body");
    });
    expect((await Promise.all(said)).sort()).toEqual([0, 1].map((rank) => `rank ${rank} of 2 has the sum 3 3 3 3`));
    await Promise.all(tabs.map((tab) => tab.close()));
  });
});

/** Chromium and Firefox, driven by puppeteer: the one over its own protocol, the other over WebDriver BiDi. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, LaunchOptions } from "puppeteer-core";
import { launch } from "puppeteer-core";
import { FIREFOX_PREFS } from "../../../src/cli/info/installed-browsers.ts";
import type { Host } from "../hosts/hosts.ts";
import { openDisplay } from "./display.ts";
import type { Engine, EngineOptions } from "./engine.ts";

const CHROMIUM = "/usr/bin/chromium";

/** SwiftShader, the GPU in software that comes with Debian's Chromium. */
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

/** Puppeteer's flags by which Chromium does not throttle hidden tabs: here it does, as for everyone. */
const UNTHROTTLED = [
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
];

/** Chromium, whose hidden tabs are throttled. */
export function openChromium(options: EngineOptions = {}): Promise<Engine> {
  const { host, address } = options.on ?? { host: null, address: "127.0.0.1" };
  return open(options, {
    browser: "chrome",
    executablePath: host ? startedOn(host, CHROMIUM) : CHROMIUM,
    // By a pipe: nobody reaches the loopback of another host.
    pipe: host !== null,
    ignoreDefaultArgs: UNTHROTTLED,
    args: [
      "--no-sandbox",
      "--enable-unsafe-webgpu",
      "--disable-quic",
      `--host-resolver-rules=MAP *.example ${address}`,
    ],
  });
}

/** Firefox, with WebGPU on SwiftShader. */
export function openFirefox(options: EngineOptions = {}): Promise<Engine> {
  return open(options, {
    browser: "firefox",
    executablePath: "/usr/bin/firefox-esr",
    extraPrefsFirefox: FIREFOX_PREFS,
    env: { ...process.env, VK_ICD_FILENAMES: SWIFTSHADER, XDG_RUNTIME_DIR: "/tmp" },
  });
}

/** A program that starts `program` on another host; it is removed with this process. */
function startedOn(host: Host, program: string): string {
  const folder = mkdtempSync(join(tmpdir(), "webccl-engine-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "start");
  const [command, args] = host.command(program, ['"$@"']);
  writeFileSync(path, `#!/bin/sh\nexec ${command} ${args.join(" ")}\n`, { mode: 0o700 });
  return path;
}

async function open({ headed = false }: EngineOptions, options: LaunchOptions): Promise<Engine> {
  const display = headed ? await openDisplay() : null;
  const env = { ...process.env, ...options.env, ...(display && { DISPLAY: display.name }) };
  const browser = await launch({ ...options, headless: !headed, env });
  const version = (await browser.version()).replace(/^Headless/, "").replace("/", " ");
  return {
    version: version.charAt(0).toUpperCase() + version.slice(1),
    open: (url, apart) => openTab(browser, url, apart),
    kill: () => void browser.process()?.kill("SIGKILL"),
    close: async () => {
      await browser.close();
      display?.close();
    },
  };
}

async function openTab(browser: Browser, url: string, apart = false) {
  const page = await browser.newPage({ type: apart ? "window" : "tab" });
  await page.goto(url);
  return {
    evaluate: <T>(expression: string) => page.evaluate(expression) as Promise<T>,
    show: () => page.bringToFront(),
    close: () => page.close(),
  };
}

/** The browsers that this machine has, and how each is opened with a page, without a window where it can do without. */
import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SYSTEM_PATHS } from "../launch/chromium.ts";

/** How one kind of browser is found and opened. */
export interface InstalledBrowser {
  readonly name: "chromium" | "firefox" | "webkit";
  /** Such as "Firefox 153.8.0", which the browser is asked for. */
  version(): string;
  /** Settings that its users do not have. */
  readonly settings: string;
  /** The command that opens `url`, with a profile in the empty folder `profile`. */
  command(url: string, profile: string): { command: string; args: string[]; env: Readonly<Record<string, string>> };
}

const MACHINES: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

/** Of the packages webkit2gtk-driver and firefox-esr. */
export const MINI_BROWSER = `/usr/lib/${MACHINES[process.arch]}-linux-gnu/webkit2gtk-4.1/MiniBrowser`;
const FIREFOX_PATHS = ["/usr/bin/firefox-esr", "/usr/bin/firefox"];

/** WebGPU, also in software. */
export const FIREFOX_PREFS = {
  "dom.webgpu.enabled": true,
  "dom.webgpu.allow-in-parent": true,
  "gfx.webgpu.ignore-blocklist": true,
};

/** WebKit shares memory only if it is told to; its sandbox does not start for root. */
export const WEBKIT_ENVIRONMENT = { JSC_useSharedArrayBuffer: "1", WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1" };

/** SwiftShader, the GPU in software that comes with Debian's Chromium: for machines without a GPU. */
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

const first = (paths: readonly string[]) => paths.find((path) => existsSync(path));

/** Those that are installed. */
export function installedBrowsers(): InstalledBrowser[] {
  const found = [chromium(first(SYSTEM_PATHS)), firefox(first(FIREFOX_PATHS)), webkit(first([MINI_BROWSER]))];
  return found.filter((one) => one !== null);
}

function versionOf(...[command = "", ...words]: readonly string[]): string {
  const text = execFileSync(command, [...words, "--version"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return /\d+(\.\d+)*/.exec(text)?.[0] ?? "";
}

function chromium(path: string | undefined): InstalledBrowser | null {
  if (path === undefined) return null;
  const sandbox = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const flags = ["--headless=new", "--enable-unsafe-webgpu", "--no-first-run", "--disable-quic", "--disable-sync"];
  return {
    name: "chromium",
    version: () => `Chromium ${versionOf(path)}`,
    settings: "--enable-unsafe-webgpu",
    command: (url, profile) => ({
      command: path,
      args: [...flags, "--disable-background-networking", ...sandbox, `--user-data-dir=${profile}`, url],
      env: {},
    }),
  };
}

function firefox(path: string | undefined): InstalledBrowser | null {
  if (path === undefined) return null;
  return {
    name: "firefox",
    version: () => `Firefox ${versionOf(path)}`,
    settings: Object.keys(FIREFOX_PREFS).join(", "),
    command: (url, profile) => {
      const prefs = Object.entries(FIREFOX_PREFS).map(([name, value]) => `user_pref("${name}", ${value});`);
      writeFileSync(join(profile, "user.js"), `${prefs.join("\n")}\n`);
      const software = existsSync(SWIFTSHADER) && process.env.VK_ICD_FILENAMES === undefined;
      return {
        command: path,
        args: ["--headless", "--no-remote", "--profile", profile, url],
        env: { XDG_RUNTIME_DIR: profile, ...(software ? { VK_ICD_FILENAMES: SWIFTSHADER } : {}) },
      };
    },
  };
}

/** It always has a window; without a display Xvfb is one. */
function webkit(path: string | undefined): InstalledBrowser | null {
  const xvfb = first(["/usr/bin/xvfb-run"]);
  if (path === undefined || (process.env.DISPLAY === undefined && xvfb === undefined)) return null;
  const display = process.env.DISPLAY === undefined && xvfb !== undefined ? [xvfb, "-a"] : [];
  return {
    name: "webkit",
    version: () => `WebKitGTK ${versionOf(...display, path)}`,
    settings: "JSC_useSharedArrayBuffer=1",
    command: (url, profile) => {
      const [command = path, ...args] = [...display, path, url];
      return { command, args, env: { ...WEBKIT_ENVIRONMENT, XDG_CACHE_HOME: profile, XDG_DATA_HOME: profile } };
    },
  };
}

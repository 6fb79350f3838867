/** Headless Chromium, driven by the playwright package of whoever runs this: its own browser, or the system's. */
import { existsSync } from "node:fs";
import type { Browser } from "playwright";
import { importOptional } from "../optional.ts";
import { UsageError } from "../usage.ts";

/** Where distributions put it, if playwright's own download is not there. */
export const SYSTEM_PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

const FLAGS = [
  "--enable-unsafe-webgpu",
  // A rank in a tab that nobody looks at is no less a rank.
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
  // Nothing here is to call home.
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--disable-quic",
];

/**
 * Starts a headless Chromium, with `flags` beside those of webccl.
 * @throws UsageError if playwright or a browser is missing, with the package to install.
 */
export async function launchChromium(flags: readonly string[] = []): Promise<Browser> {
  const { chromium } = await importOptional<typeof import("playwright")>("playwright", "browsers are started by it");
  const own = chromium.executablePath();
  const executablePath = [own, ...SYSTEM_PATHS].find((path) => existsSync(path));
  if (executablePath === undefined) {
    throw new UsageError(
      "there is no Chromium: npx playwright install chromium, or the distribution's package chromium",
    );
  }
  // Chromium's sandbox does not start for root.
  const sandbox = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({
    args: [...FLAGS, ...sandbox, ...flags],
    executablePath,
  });
}

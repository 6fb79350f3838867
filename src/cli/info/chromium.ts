/** Asks Chromium for its adapters and prints them as JSON; a process of its own, for `webccl info`. */
import { launchChromium } from "../launch/chromium.ts";
import { UsageError } from "../usage.ts";
import { GPU_PROBE, type GpuAdapter } from "./gpu-probe.ts";

try {
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    // Nothing listens there: localhost is a secure context, as WebGPU wants it.
    await page.route("**/*", (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html>" }));
    await page.goto("http://localhost/");
    console.log(JSON.stringify(await page.evaluate<GpuAdapter[]>(`${GPU_PROBE}(navigator.gpu)`)));
  } finally {
    await browser.close();
  }
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.log(JSON.stringify({ fix: error.message }));
}

/** `webccl bench kernels` in Deno and in Chromium: program.ts there, and its output. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { programPage } from "../launch/browser-page.ts";
import { launchChromium } from "../launch/chromium.ts";
import { denoArguments, denoExecutable } from "../launch/other-runtimes.ts";
import { siblingModule } from "../sibling-module.ts";
import type { GpuRatesOptions } from "./gpu.ts";
import type { DeviceRates } from "./page.ts";

const REPORT = "KERNELS ";
const PROGRAM = fileURLToPath(siblingModule(import.meta.url, "./program"));

/** Takes the program's lines: passes them on, and keeps the report. */
function reader(say: (line: string) => void): { line(text: string): void; report(): DeviceRates | null } {
  let report: DeviceRates | null = null;
  return {
    line: (text) => {
      if (text.startsWith(REPORT)) report = JSON.parse(text.slice(REPORT.length)) as DeviceRates;
      else say(text);
    },
    report: () => report,
  };
}

/** @throws UsageError if Deno is not installed, Error if it found no adapter or failed. */
export async function denoRates(options: GpuRatesOptions, say: (line: string) => void): Promise<DeviceRates> {
  const told = JSON.stringify({ runtime: "deno", options });
  const child = spawn(denoExecutable(), denoArguments(PROGRAM, [told]), { stdio: ["ignore", "pipe", "pipe"] });
  const { line, report } = reader(say);
  createInterface(child.stdout).on("line", line);
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint += text;
  });
  await once(child, "close");
  const found = report();
  if (!found) throw new Error(`deno: ${complaint.trim() || "it ended without a report"}`);
  return found;
}

/** @throws UsageError if playwright, vite or a browser is not installed, Error if the page failed. */
export async function browserRates(options: GpuRatesOptions, say: (line: string) => void): Promise<DeviceRates> {
  const server = createServer(await programPage(PROGRAM)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    const { line, report } = reader(say);
    let complaint = "";
    page.on("console", (message) => {
      if (message.type() === "error") complaint += `${message.text()}\n`;
      else line(message.text());
    });
    const ended = new Promise<void>((end) => {
      void page.exposeFunction("webcclEnded", () => end());
      page.on("crash", () => end());
    });
    const told = JSON.stringify({ runtime: "chromium", options });
    await page.addInitScript({ content: `globalThis.webcclKernels = ${JSON.stringify(told)};` });
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await ended;
    const found = report();
    if (!found) throw new Error(`chromium: ${complaint.trim() || "the page ended without a report"}`);
    return found;
  } finally {
    await browser.close();
    server.close();
  }
}

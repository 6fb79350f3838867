/** `webccl info --browsers`: a page that finds out what its browser has, in each browser that is installed, or in one that somebody opens. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allowedHosts, hostFault } from "../../node/websocket-server.ts";
import { textOf } from "../../support/thrown.ts";
import { statusLine } from "../bench/report.ts";
import { nextSignal } from "../hub.ts";
import { pathOf, sendFile } from "../page-files.ts";
import { UsageError } from "../usage.ts";
import { type BrowserReport, factNotes, factRows, factsOf } from "./browser-facts.ts";
import { browserName } from "./browser-name.ts";
import { wrapped } from "./describe.ts";
import { type InstalledBrowser, installedBrowsers } from "./installed-browsers.ts";

/** Where the build puts the page, seen from build and from source. */
const FOLDERS = [
  new URL("../../demo/browser/", import.meta.url),
  new URL("../../../dist/demo/browser/", import.meta.url),
];

const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** A browser that does not start, or whose page does not answer in this time, is given up. */
const ANSWER_MS = 60_000;
const MOST_BYTES = 65_536;
const WIDTH = 80;

/** A browser that gave no report, and why. */
export interface SilentBrowser {
  readonly browser: string;
  readonly reason: string;
}

/** The page, served; each report that comes goes to `onReport`, with the name in the page's address. */
async function servePage(
  onReport: (name: string, report: { facts: unknown; agent: string }) => void,
): Promise<{ url: string; close(): void }> {
  const folder = FOLDERS.find((url) => existsSync(new URL("index.html", url)));
  if (!folder) throw new UsageError("the page is not built: npm run build");
  const allowed = allowedHosts("127.0.0.1");
  const server = createServer((request, response) => {
    // Neither a name that somebody points here nor a page of another origin tells anything.
    const { host, origin } = request.headers;
    if (hostFault(request, allowed) || (origin !== undefined && origin !== `http://${host}`)) {
      response.writeHead(403).end("this page is for this machine alone\n");
      return;
    }
    response.setHeader("content-security-policy", POLICY);
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    response.setHeader("x-content-type-options", "nosniff");
    response.setHeader("cache-control", "no-cache");
    const path = pathOf(request);
    if (request.method === "POST" && path?.startsWith("/report/"))
      takeReport(path.slice(8), request, response, onReport);
    else sendFile(folder, path, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}/`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function takeReport(
  name: string,
  request: IncomingMessage,
  response: ServerResponse,
  onReport: Parameters<typeof servePage>[0],
): void {
  let text = "";
  request.setEncoding("utf8").on("data", (part: string) => {
    text += part;
    if (text.length > MOST_BYTES) request.destroy();
  });
  request.on("end", () => {
    try {
      onReport(name, { facts: JSON.parse(text), agent: request.headers["user-agent"] ?? "" });
      response.writeHead(204).end();
    } catch {
      response.writeHead(400).end();
    }
  });
}

/** Opens the page in each of `browsers`, one after the other: two of them beside each other are slow on a small machine. */
export async function reportsOf(
  browsers: readonly InstalledBrowser[],
  onBrowser: (version: string) => void = () => {},
): Promise<{ reports: BrowserReport[]; silent: SilentBrowser[] }> {
  const waiting = new Map<string, (facts: unknown) => void>();
  const page = await servePage((name, { facts }) => {
    factsOf(facts);
    waiting.get(name)?.(facts);
  });
  const reports: BrowserReport[] = [];
  const silent: SilentBrowser[] = [];
  try {
    for (const browser of browsers) {
      const { name, settings } = browser;
      let version: string;
      try {
        version = browser.version();
      } catch (error) {
        silent.push({ browser: name, reason: `it does not tell its version: ${textOf(error)}` });
        continue;
      }
      onBrowser(version);
      const answer = new Promise<unknown>((resolve) => waiting.set(name, resolve));
      const facts = await openOnce(browser, `${page.url}?name=${name}`, answer);
      if (typeof facts === "string") silent.push({ browser: version, reason: facts });
      else reports.push({ browser: version, settings, facts: factsOf(facts) });
    }
  } finally {
    page.close();
  }
  return { reports, silent };
}

/** Opens a browser until the answer is there, and ends it: the answer, or the reason why there is none. */
async function openOnce(browser: InstalledBrowser, url: string, answer: Promise<unknown>): Promise<unknown> {
  const profile = mkdtempSync(join(tmpdir(), "webccl-browser-"));
  const { command, args, env } = browser.command(url, profile);
  // A group of its own, which ends with all processes that it has.
  const child = spawn(command, args, { stdio: "ignore", detached: true, env: { ...process.env, ...env } });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([
      answer,
      new Promise<string>((resolve) => {
        child.once("error", (error) => resolve(error.message));
        child.once("exit", (code, signal) =>
          resolve(`it ended (${signal ?? `code ${code}`}) before its page answered`),
        );
        timer = setTimeout(() => resolve(`its page did not answer within ${ANSWER_MS / 1000} s`), ANSWER_MS);
      }),
    ]);
  } finally {
    clearTimeout(timer);
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      process.kill(-child.pid, "SIGKILL");
      await ended;
    }
    rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** Asks the browsers of these names, those that are installed if there are none, and prints their facts. Returns the exit code. */
export async function browsersInfo(names: readonly string[] | null, { json }: { json: boolean }): Promise<number> {
  const installed = installedBrowsers();
  const unknown = names?.find((name) => name !== "link" && !installed.some((one) => one.name === name));
  if (unknown !== undefined) {
    const here = installed.map(({ name }) => name);
    throw new UsageError(`--browsers ${unknown}: there is none here; there are ${[...here, "link"].join(", ")}`);
  }
  const isByHand = names?.includes("link") || installed.length === 0;
  const status = statusLine();
  const { reports, silent } = isByHand
    ? await reportByHand()
    : await reportsOf(
        installed.filter(({ name }) => names?.includes(name) ?? true),
        (version) => status(`asking ${version} …`),
      ).finally(() => status(""));
  process.stdout.write(json ? `${JSON.stringify({ browsers: reports, silent })}\n` : describeBrowsers(reports, silent));
  return 0;
}

/** Prints an address, and resolves with what the first browser tells that opens it; with nothing at a signal. */
async function reportByHand(): Promise<{ reports: BrowserReport[]; silent: SilentBrowser[] }> {
  const reports: BrowserReport[] = [];
  const stopped = nextSignal(["SIGINT", "SIGTERM"]);
  let heard = () => {};
  const answered = new Promise<void>((resolve) => {
    heard = resolve;
  });
  const page = await servePage((_, { facts, agent }) => {
    reports.push({ browser: browserName(agent), settings: null, facts: factsOf(facts) });
    heard();
  });
  process.stderr.write(`Open ${page.url} in a browser of this machine; Ctrl-C ends.\n`);
  await Promise.race([answered, stopped]);
  page.close();
  return { reports, silent: [] };
}

/** The facts as a table within 80 columns, then the reasons. */
export function describeBrowsers(reports: readonly BrowserReport[], silent: readonly SilentBrowser[]): string {
  const rows = [["", ...reports.map(({ browser }) => shortName(browser))], ...factRows(reports)];
  const label = Math.max(...rows.map(([name = ""]) => name.length)) + 2;
  const column = Math.max(8, Math.floor((WIDTH - label) / Math.max(1, reports.length)));
  const table = rows.map(([name = "", ...cells]) =>
    [name.padEnd(label), ...cells.map((cell) => cell.padEnd(column))].join("").trimEnd(),
  );
  const notes = reports.flatMap((report) => {
    const settings = report.settings === null ? [] : [`opened with ${report.settings}`];
    const lines = [...settings, ...factNotes(report)];
    return lines.length === 0 ? [] : ["", report.browser, ...lines.flatMap(item)];
  });
  const lost = silent.flatMap(({ browser, reason }) => ["", browser, ...item(reason)]);
  return `${[...(reports.length > 0 ? table : ["no browser has answered"]), ...notes, ...lost].join("\n")}\n`;
}

const item = (text: string) => wrapped(text, WIDTH - 4).map((line, i) => `${i === 0 ? "  - " : "    "}${line}`);

/** "Firefox 153" of "Firefox 153.8.0", "WebKitGTK 2.50" of "WebKitGTK 2.50.3". */
export function shortName(browser: string): string {
  return browser.replace(/(\d+)(\.\d+)?[\d.]*/, (_all, major: string, minor = "") =>
    Number(major) < 10 ? `${major}${minor}` : major,
  );
}

/** A web server with the pages of these tests, and a browser that opens them. */
import { readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright";
import { launchChromium } from "../../../src/cli/launch/chromium.ts";
import type { Job, Outcome, RawJob } from "../job.ts";
import { bundle } from "./bundle.ts";

const PROGRAM = fileURLToPath(new URL("program.ts", import.meta.url));

/** How the server sends its pages. */
export interface PageKind {
  /** The content security policy's script-src beyond 'self'. */
  scripts?: string;
  /** Cross-origin isolated, so that memory may be shared. */
  isolated?: boolean;
}

/** Where pages come from, and what they load. */
export interface PagesOptions {
  programs?: Readonly<Record<string, string>>;
  /** Files that are served as they are, by name: modules and WebAssembly of packages that load them by address. */
  files?: Readonly<Record<string, string>>;
  host?: string;
  tls?: { cert: string; key: string };
}

export class Pages {
  readonly origin: string;
  readonly #browser: Browser;
  readonly #close: () => void;

  private constructor(origin: string, browser: Browser, close: () => void) {
    this.origin = origin;
    this.#browser = browser;
    this.#close = close;
  }

  /**
   * Pages that load "entry.js"; `programs` are modules by the names of their bundles. They come from `host`, over https if
   * there is a certificate. Every name under "example" is this machine.
   */
  static async open({
    programs = { "entry.js": PROGRAM },
    files: given = {},
    host = "127.0.0.1",
    tls,
  }: PagesOptions = {}): Promise<Pages> {
    const [bundles, browser] = await Promise.all([
      Promise.all(Object.entries(programs).map(([name, entry]) => bundle(entry, name))),
      launchChromium(["--host-resolver-rules=MAP *.example 127.0.0.1"]),
    ]);
    const files = new Map(bundles.flatMap((codes) => [...codes]));
    const listener: RequestListener = (request, response) => {
      const { pathname } = new URL(request.url ?? "/", "http://localhost");
      const [, kind = "{}", file] = decodeURIComponent(pathname).split("/");
      const { scripts = "", isolated = false }: PageKind = JSON.parse(kind || "{}");
      response.setHeader(
        "content-security-policy",
        `default-src 'none'; script-src 'self' ${scripts}; worker-src 'self'; connect-src 'self' ws://127.0.0.1:* http://127.0.0.1:* ws://hub.example:* http://hub.example:*`,
      );
      if (isolated) {
        response.setHeader("cross-origin-opener-policy", "same-origin");
        response.setHeader("cross-origin-embedder-policy", "require-corp");
      }
      const code = files.get(file ?? "");
      if (code !== undefined) response.setHeader("content-type", "text/javascript").end(code);
      else if (file !== undefined && Object.hasOwn(given, file)) {
        response.setHeader("content-type", file.endsWith(".wasm") ? "application/wasm" : "text/javascript");
        response.end(readFileSync(given[file] ?? ""));
      } else if (file === "") {
        response.setHeader("content-type", "text/html");
        response.end(`<!doctype html><title>rank</title><script type="module" src="entry.js"></script>`);
      } else response.writeHead(404).end();
    };
    const server = tls ? createSecureServer(tls, listener) : createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const origin = `${tls ? "https" : "http"}://${host}:${(server.address() as AddressInfo).port}`;
    return new Pages(origin, browser, () => {
      server.closeAllConnections();
      server.close();
    });
  }

  /** Opens a page that does `job`. */
  start(job: Job | RawJob, kind: PageKind = {}): Promise<Page> {
    return this.show(kind, `#${encodeURIComponent(JSON.stringify(job))}`);
  }

  /** Opens a page. */
  async show(kind: PageKind, fragment = ""): Promise<Page> {
    const page = await this.#browser.newPage({ ignoreHTTPSErrors: true });
    const path = encodeURIComponent(JSON.stringify(kind));
    await page.goto(`${this.origin}/${path}/${fragment}`);
    return page;
  }

  /** Opens a page, waits for its outcome and closes it. */
  async run<O = Outcome>(job: Job | RawJob, kind: PageKind = {}): Promise<O> {
    return this.outcome(await this.start(job, kind));
  }

  /** Waits for a page's outcome and closes it. */
  async outcome<O = Outcome>(page: Page): Promise<O> {
    const problems: string[] = [];
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    page.on("pageerror", (error) => problems.push(String(error)));
    try {
      const outcome = await page.waitForFunction(() => (globalThis as { outcome?: unknown }).outcome, null, {
        timeout: 120_000,
      });
      return (await outcome.jsonValue()) as O;
    } catch (error) {
      throw new Error(`the page said nothing: ${problems.join("; ")}`, { cause: error });
    } finally {
      await page.close();
    }
  }

  async close(): Promise<void> {
    await this.#browser.close();
    this.#close();
  }
}

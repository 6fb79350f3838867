/** A server of pages, and a Chromium that opens them. */
import type { Browser, Page } from "playwright";
import { launchChromium } from "../../../src/cli/launch/chromium.ts";
import type { Job, Outcome, RawJob } from "../job.ts";
import { type PageKind, PageServer, type PagesOptions } from "./page-server.ts";

export class Pages {
  readonly #server: PageServer;
  readonly #browser: Browser;

  private constructor(server: PageServer, browser: Browser) {
    this.#server = server;
    this.#browser = browser;
  }

  /** Every name under "example" is this machine. */
  static async open(options: PagesOptions = {}): Promise<Pages> {
    const [server, browser] = await Promise.all([
      PageServer.open(options),
      launchChromium(["--host-resolver-rules=MAP *.example 127.0.0.1"]),
    ]);
    return new Pages(server, browser);
  }

  get origin(): string {
    return this.#server.origin;
  }

  /** Opens a page that does `job`. */
  start(job: Job | RawJob, kind: PageKind = {}): Promise<Page> {
    return this.show(kind, job);
  }

  /** Opens a page. */
  async show(kind: PageKind, job?: object): Promise<Page> {
    const page = await this.#browser.newPage({ ignoreHTTPSErrors: true });
    await page.goto(this.#server.urlOf(kind, job));
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
    this.#server.close();
  }
}

/** WebKit: the MiniBrowser of WebKitGTK on a display without a screen, driven over WebDriver by selenium. */
import { type ChildProcess, spawn } from "node:child_process";
import { Builder, type WebDriver } from "selenium-webdriver";
import { MINI_BROWSER, WEBKIT_ENVIRONMENT } from "../../../src/cli/info/installed-browsers.ts";
import { freePort } from "../../helpers/free-port.ts";
import { openDisplay } from "./display.ts";
import type { Engine, EngineOptions } from "./engine.ts";
import { poll } from "./poll.ts";

/** WebKit, which always has a window. */
export async function openWebkit(_: EngineOptions = {}): Promise<Engine> {
  const [display, port] = await Promise.all([openDisplay(), freePort()]);
  const env = {
    ...process.env,
    ...WEBKIT_ENVIRONMENT,
    DISPLAY: display.name,
  };
  // A group of its own: the browser is the driver's child, and ends with it.
  const server = spawn("WebKitWebDriver", [`--port=${port}`], { env, stdio: "ignore", detached: true });
  const url = `http://127.0.0.1:${port}`;
  await poll(() => fetch(`${url}/status`), 20_000);
  const options = {
    browserName: "MiniBrowser",
    "webkitgtk:browserOptions": { binary: MINI_BROWSER, args: ["--automation"] },
  };
  const driver = await new Builder().usingServer(url).withCapabilities(options).build();
  await driver.manage().setTimeouts({ script: 150_000 });
  const version = (await driver.getCapabilities()).getBrowserVersion();
  const tabs = new Tabs(driver);
  return {
    version: `WebKitGTK ${version}`,
    open: (address) => tabs.open(address),
    kill: () => killGroup(server),
    close: async () => {
      await driver.quit().catch(() => {});
      killGroup(server);
      display.close();
    },
  };
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/** The tabs of one driver, which has one of them at a time. */
class Tabs {
  readonly #driver: WebDriver;
  #turn: Promise<unknown> = Promise.resolve();
  #opened = 0;

  constructor(driver: WebDriver) {
    this.#driver = driver;
  }

  open(url: string) {
    return this.#inTurn(async () => {
      // The browser came with a tab.
      if (this.#opened++ > 0) await this.#driver.switchTo().newWindow("tab");
      const handle = await this.#driver.getWindowHandle();
      await this.#driver.get(url);
      const there = <T>(act: () => Promise<T>) =>
        this.#inTurn(async () => {
          await this.#driver.switchTo().window(handle);
          return act();
        });
      return {
        evaluate: <T>(expression: string) => there(() => this.#evaluate<T>(expression)),
        show: () => there(async () => {}),
        close: () => there(() => this.#close()),
      };
    });
  }

  async #evaluate<T>(expression: string): Promise<T> {
    const script = `const done = arguments[0];
      (async () => (${expression}))().then((value) => done({ value }), (error) => done({ error: String(error) }));`;
    const { value, error } = (await this.#driver.executeAsyncScript(script)) as { value: T; error?: string };
    if (error !== undefined) throw new Error(error);
    return value;
  }

  /** The last tab stays, empty: the driver's session would end with it. */
  async #close(): Promise<void> {
    const handles = await this.#driver.getAllWindowHandles();
    if (handles.length === 1) {
      await this.#driver.get("about:blank");
      this.#opened = 0;
    } else await this.#driver.close();
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const acting = this.#turn.then(act);
    this.#turn = acting.catch(() => {});
    return acting;
  }
}

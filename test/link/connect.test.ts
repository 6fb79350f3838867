/** How often a rank looks for a hub that is not there, and what it says meanwhile. Time is drawn by fake timers. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { initProcessGroup as joinInPage } from "../../src/browser/index.ts";
import { TimeoutError } from "../../src/errors.ts";
import type { Logger } from "../../src/options.ts";

/** As a browser's WebSocket where nothing listens; Node 20 has none of its own. */
class RefusedSocket {
  static readonly OPEN = 1;
  static tries = 0;
  onerror: (() => void) | null = null;

  constructor() {
    RefusedSocket.tries++;
    queueMicrotask(() => this.onerror?.());
  }

  close(): void {}
}

describe("a rank whose hub is dead", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    RefusedSocket.tries = 0;
    vi.stubGlobal("WebSocket", RefusedSocket);
    vi.stubGlobal("location", { protocol: "http:", origin: "http://localhost:5173" });
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("looks ever more seldom in a page, says so in one line, and at the end how often it has tried", async () => {
    const said: string[] = [];
    const note = (text: string) => said.push(text);
    const logger: Logger = { error: note, warn: note, info: () => {}, debug: () => {} };
    const options = { initMethod: "ws://127.0.0.1:1/g", worldSize: 2, timeoutMs: 120_000, logger };
    const joined = joinInPage(options).then(
      () => null,
      (error: unknown) => error,
    );
    let error: unknown = null;
    void joined.then((reason) => {
      error = reason;
    });
    // A module that is loaded meanwhile takes time of the real clock.
    const deadline = Date.now() + 60_000;
    while (error === null && Date.now() < deadline) {
      await vi.advanceTimersByTimeAsync(vi.getTimerCount() > 1 ? 100 : 0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(error).toBeInstanceOf(TimeoutError);
    // Two lines of the browser for each: 0.6 a second.
    expect(RefusedSocket.tries).toBeLessThan(50);
    expect(String(error)).toContain(
      `nothing answered at ws://127.0.0.1:1 within 120000 ms, in ${RefusedSocket.tries} tries`,
    );
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(
      /nothing answers at ws:\/\/127\.0\.0\.1:1 after \d+ tries \(.+\): is the hub, or rank 0, running\?/,
    );
  });
});

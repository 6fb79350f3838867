/** Engine: a browser that tests drive, whichever it is. Each has one driver in this folder, and one file of tests runs in all. */
import type { Host } from "../hosts/hosts.ts";
import { poll } from "./poll.ts";
import { openChromium, openFirefox } from "./puppeteer.ts";
import { openWebkit } from "./webkit.ts";

/** A browser that runs. */
export interface Engine {
  /** Such as "Firefox 153.8.0". */
  readonly version: string;
  /** Opens a tab, which is the one in front then; where `apart` is set, in a window of its own. */
  open(url: string, apart?: boolean): Promise<Tab>;
  /** Ends it at once, as the system would. */
  kill(): void;
  close(): Promise<void>;
}

/** A tab of it. */
export interface Tab {
  /** The value of a JavaScript expression, which JSON can carry; of a promise, what it resolves to. */
  evaluate<T>(expression: string): Promise<T>;
  /** Puts it in front of the others. */
  show(): Promise<void>;
  close(): Promise<void>;
}

/** How a browser is started. */
export interface EngineOptions {
  /** With a window on a display, so that tabs can hide each other. Default: none where it can do without. */
  headed?: boolean;
  /** On another host, where `*.example` is at `address`. Chromium alone. */
  on?: { host: Host; address: string };
}

/** How each engine is started, by name. */
export const ENGINES = { chromium: openChromium, firefox: openFirefox, webkit: openWebkit } as const;

export type EngineName = keyof typeof ENGINES;

/** Engines without WebGPU. */
export const NO_GPU: readonly EngineName[] = ["webkit"];

/** The value of `expression`, once it is one. */
export function valueIn<T>(tab: Tab, expression: string, timeoutMs = 120_000): Promise<T> {
  const look = async () => {
    const value = await tab.evaluate<T | null>(`(${expression}) ?? null`);
    if (value === null) throw new Error(`${expression} has no value yet`);
    return value;
  };
  return poll(look, timeoutMs);
}

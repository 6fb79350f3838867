/** Tabs of Chromium, each on a host of its own, and one more host with their page and a hub, to which the way may be slow. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { PageKind } from "../browser/page-server.ts";
import type { Engine, Tab } from "../engines/engine.ts";
import { openChromium } from "../engines/puppeteer.ts";
import type { HubHost, HubHostJob } from "./hub-host.ts";
import { makeNetwork } from "./network.ts";

const HUB_HOST = fileURLToPath(new URL("hub-host.ts", import.meta.url));

/** How far away the hub is. */
export interface Distance {
  readonly delayMs?: number;
  /** Of the cable of the hub's host, which all tabs share. Default: as wide as all others. */
  readonly mbitPerSecond?: number;
  readonly programs?: HubHostJob["programs"];
}

/** Tabs that can be opened, and their hub. */
export interface TabsOnHosts {
  /** Where tabs find the hub. */
  readonly url: string;
  readonly engines: readonly Engine[];
  /** Opens a tab on a host, with a job for its program. */
  open(host: number, kind: PageKind, job: object): Promise<Tab>;
  close(): Promise<void>;
}

/**
 * Starts them.
 * @throws Error where this user may make no network namespace.
 */
export async function openTabsOnHosts(count: number, distance: Distance = {}): Promise<TabsOnHosts> {
  const { delayMs = 0, mbitPerSecond, programs } = distance;
  const network = makeNetwork(count + 1);
  const [hubHost, ...others] = network.hosts;
  const { address } = hubHost!;
  const job: HubHostJob = { address, delayMs, ...(programs && { programs }) };
  const [command, args] = hubHost!.command(process.execPath, ["--import", "tsx", HUB_HOST, JSON.stringify(job)]);
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const engines: Engine[] = [];
  const close = async () => {
    await Promise.all(engines.map((engine) => engine.close()));
    child.kill();
    network.end();
  };
  try {
    const said = new Promise<string>((resolve, reject) => {
      createInterface(child.stdout).once("line", resolve);
      child.once("exit", (code) => reject(new Error(`the hub's host ended with ${code}`)));
    });
    engines.push(...(await Promise.all(others.map((host) => openChromium({ on: { host, address } })))));
    const { url, origin }: HubHost = JSON.parse(await said);
    if (mbitPerSecond !== undefined) network.narrow(0, mbitPerSecond);
    const open = (host: number, kind: PageKind, tabJob: object) => {
      const [path, fragment] = [kind, tabJob].map((part) => encodeURIComponent(JSON.stringify(part)));
      return engines[host]!.open(`${origin}/${path}/#${fragment}`);
    };
    return { url, engines, open, close };
  } catch (error) {
    await close();
    throw error;
  }
}

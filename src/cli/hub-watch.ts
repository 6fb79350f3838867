/** What `webccl hub` tells of itself beyond its address: a log of what happens there, and a port of its own for figures. */
import type { HubEvent } from "../hub/events.ts";
import type { HubServer } from "../node/hub.ts";
import { EventLog } from "../node/metrics/event-log.ts";
import { type Flags, portFlag, textFlag } from "./usage.ts";

/** Prints the warnings of a hub whose events nobody logs, with the flag that each asks for. */
export function printWarning(event: HubEvent): void {
  if (event.event === "warning") process.stderr.write(`webccl: warning: ${event.reason} (--token-file)\n`);
}

/** Watches over one hub. */
export interface HubWatch {
  onEvent(event: HubEvent): void;
  /** Opens the port for figures if there is to be one, and returns its address. */
  listen(server: HubServer, allowHosts: readonly string[] | undefined): Promise<string | null>;
  close(): void;
}

/**
 * The watch that --log, --metrics-port and --metrics-host ask for.
 * @throws UsageError if one of them is wrong.
 */
export async function openWatch(flags: Flags): Promise<HubWatch> {
  const port = portFlag("--metrics-port", flags.metricsPort);
  const host = textFlag("--metrics-host", flags.metricsHost);
  const log = flags.log === true ? new EventLog((line) => process.stderr.write(line)) : null;
  const metrics = port === undefined ? null : new (await import("../node/metrics/hub-metrics.ts")).HubMetrics();
  let opened: { url: string; close(): void } | null = null;
  return {
    onEvent(event) {
      metrics?.count(event);
      if (log) log.add(event);
      else printWarning(event);
    },
    async listen(server, allowHosts) {
      if (!metrics || port === undefined) return null;
      const { openMetrics } = await import("../node/metrics/metrics-server.ts");
      opened = await openMetrics({ host, port, allowHosts, metrics: () => metrics.page(server.stats) });
      return opened.url;
    },
    close() {
      opened?.close();
      log?.close();
    },
  };
}

/** The port at which a hub tells of itself: `/healthz`, and `/metrics` for Prometheus. No page of a browser can read it. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { bareHost, urlHost } from "../../support/host.ts";
import { textOf } from "../../support/thrown.ts";
import { addressesOf, openAll } from "../doors.ts";
import { allowedHosts, hostFault, isOfPage } from "../websocket-server.ts";
import type { MetricsPage } from "./figures.ts";

/** Most connections at a time: whoever reads figures has one. */
const MAX_CONNECTIONS = 64;
/** A request must be complete within this time, in milliseconds. */
const REQUEST_MS = 5_000;

/** Where it listens, and what it tells. */
export interface MetricsServerOptions {
  /** Default: 127.0.0.1. Whoever reaches another interface reads the figures; no secret is among them. */
  host?: string | undefined;
  /** 0 picks a free one. */
  port: number;
  /** Names under which it is reached, beyond loopback's and `host`. */
  allowHosts?: readonly string[] | undefined;
  metrics: () => Promise<MetricsPage>;
}

/**
 * Opens it. It does not keep the process running.
 * @throws RangeError if the port is in use or out of reach.
 */
export async function openMetrics(options: MetricsServerOptions): Promise<{ url: string; close(): void }> {
  const host = bareHost(options.host ?? "127.0.0.1");
  const allowed = allowedHosts(host, options.allowHosts);
  const timeouts = { headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS, connectionsCheckingInterval: 500 };
  const server = createServer(
    timeouts,
    (request, response) => void answer(request, response, allowed, options.metrics),
  );
  server.maxConnections = MAX_CONNECTIONS;
  const doors = await openAll(server, host, await addressesOf(host), options.port);
  for (const door of doors) door.unref();
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${urlHost(host)}:${port}`,
    close() {
      for (const door of doors) door.close();
      server.closeAllConnections();
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  allowed: ReadonlySet<string>,
  metrics: MetricsServerOptions["metrics"],
): Promise<void> {
  const { status, type, body } = await pageOf(request, allowed, metrics).catch((error) => plain(500, textOf(error)));
  response.writeHead(status, {
    "content-type": type,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

async function pageOf(
  request: IncomingMessage,
  allowed: ReadonlySet<string>,
  metrics: MetricsServerOptions["metrics"],
): Promise<{ status: number; type: string; body: string }> {
  const { method = "GET", url = "/" } = request;
  const fault = hostFault(request, allowed);
  if (fault) return plain(fault.status, fault.text);
  if (isOfPage(request)) return plain(403, "pages may not read a hub's figures");
  if (method !== "GET" && method !== "HEAD") return plain(405, "use GET");
  const [path] = url.split("?", 1);
  if (path === "/healthz") return plain(200, "ok");
  if (path === "/metrics") return metrics();
  return plain(404, "there are /healthz and /metrics");
}

const plain = (status: number, text: string) => ({ status, type: "text/plain; charset=utf-8", body: `${text}\n` });

/** `webccl trace --live`: a page that shows who waits for whom in a running job. It is served on loopback alone. */
import { existsSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { allowedHosts, hostFault } from "../../node/websocket-server.ts";
import { nextSignal } from "../hub.ts";
import { pathOf, sendFile } from "../page-files.ts";
import { UsageError } from "../usage.ts";
import { liveState } from "./live-state.ts";
import { Watcher } from "./watcher.ts";

/** Where the build puts the page, seen from build and from source. */
const FOLDERS = [new URL("../../demo/trace/", import.meta.url), new URL("../../../dist/demo/trace/", import.meta.url)];

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Serves until SIGINT or SIGTERM, and returns the exit code. Prints the page's address. */
export async function traceLive(places: readonly string[], port: number): Promise<number> {
  const stopped = nextSignal(["SIGINT", "SIGTERM"]);
  const live = await openLive(places, port);
  process.stdout.write(`${live.url}\n`);
  await stopped;
  live.close();
  return 0;
}

/**
 * Opens the page on the ranks at these places.
 * @throws UsageError if a place is none, the page is not built, or the port is taken.
 */
export async function openLive(places: readonly string[], port: number): Promise<{ url: string; close(): void }> {
  const folder = FOLDERS.find((url) => existsSync(new URL("index.html", url)));
  if (!folder) throw new UsageError("the page is not built: npm run build");
  const watcher = new Watcher(places);
  const allowed = allowedHosts("127.0.0.1");
  const server = createServer((request, response) => {
    const fault = hostFault(request, allowed);
    if (fault) response.writeHead(fault.status).end(`${fault.text}\n`);
    else answer(folder, watcher, request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      watcher.close();
      reject(new UsageError(`--port ${port}: ${error.message}`));
    });
    server.listen({ host: "127.0.0.1", port }, resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () => {
      watcher.close();
      server.close();
      server.closeAllConnections();
    },
  };
}

function answer(folder: URL, watcher: Watcher, request: IncomingMessage, response: ServerResponse): void {
  response.setHeader("content-security-policy", POLICY);
  response.setHeader("x-content-type-options", "nosniff");
  response.setHeader("cross-origin-resource-policy", "same-origin");
  response.setHeader("cache-control", "no-cache");
  const path = pathOf(request);
  if (path === "/state.json") {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(liveState(watcher.seen, watcher.silent(), watcher.trouble)));
    return;
  }
  sendFile(folder, path, response);
}

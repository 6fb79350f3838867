/** `webccl demo`: a hub that serves a page; every tab with that page becomes a rank. */
import { existsSync, readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { networkInterfaces } from "node:os";
import { startHub } from "../node/hub.ts";
import { type PublicUrl, publicUrlOf } from "../node/proxies/public-url.ts";
import { urlHost } from "../support/host.ts";
import { asUsageError, hubOptions, nextSignal } from "./hub.ts";
import { printWarning } from "./hub-watch.ts";
import { pathOf, sendFile } from "./page-files.ts";
import { type Flags, UsageError } from "./usage.ts";

/** Where the build puts the page, seen from source and from build. */
const FOLDERS = [new URL("../demo/", import.meta.url), new URL("../../dist/demo/", import.meta.url)];

/** Where the documentation is, if the package says so. */
const HOMEPAGE: string | null =
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")).homepage ?? null;

/** Serves until SIGINT or SIGTERM, and returns the exit code. Prints the page's addresses. */
export async function demo(flags: Flags, folder = demoFolder()): Promise<number> {
  const stopped = nextSignal(["SIGINT", "SIGTERM"]);
  const server = await openPage(flags, folder);
  for (const url of server.urls) process.stdout.write(`${url}\n`);
  await stopped;
  await server.close();
  return 0;
}

/**
 * The folder of the demo page.
 * @throws UsageError if it is not built.
 */
function demoFolder(): URL {
  const folder = FOLDERS.find((url) => existsSync(new URL("index.html", url)));
  if (!folder) throw new UsageError("the demo page is not built: npm run build");
  return folder;
}

/** Opens a hub that serves the page in `folder`, by default that of the demo. */
export async function openPage(
  flags: Flags,
  folder = demoFolder(),
): Promise<{ urls: string[]; close(): Promise<void> }> {
  const options = hubOptions(flags);
  const { host = "127.0.0.1", tls } = options;
  let publicUrl: PublicUrl | null = null;
  const isEverywhere = host === "0.0.0.0" || host === "::";
  const addresses = isEverywhere ? ownAddresses() : [host];
  let port = 0;
  const scheme = tls ? "https" : "http";
  const own = () => addresses.map((address) => `${scheme}://${urlHost(address)}:${port}/`);
  const urls = () => [...(publicUrl ? [publicUrl.http] : []), ...own()];
  const server = await startHub({
    ...options,
    sameOrigin: true,
    allowHosts: [...(options.allowHosts ?? []), ...addresses.map(urlHost)],
    onRequest: (request, response) => answer(folder, urls(), publicUrl, request, response),
    onEvent: printWarning,
  }).catch(asUsageError);
  port = server.port;
  if (options.publicUrl !== undefined) publicUrl = publicUrlOf(options.publicUrl);
  return { urls: urls(), close: () => server.close() };
}

/** The page and its files; `join.json` has the addresses at which other devices find it, and that of the documentation. */
function answer(
  folder: URL,
  urls: readonly string[],
  publicUrl: PublicUrl | null,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const path = pathOf(request);
  const scheme = "encrypted" in request.socket ? "wss" : "ws";
  const hubs = [`${scheme}://${request.headers.host}`, ...(publicUrl ? [new URL(publicUrl.ws).origin] : [])].join(" ");
  response.setHeader(
    "content-security-policy",
    `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self' ${hubs}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  );
  response.setHeader("cross-origin-opener-policy", "same-origin");
  response.setHeader("cross-origin-embedder-policy", "require-corp");
  response.setHeader("x-content-type-options", "nosniff");
  response.setHeader("cache-control", "no-cache");
  if (path === "/join.json") {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ urls, docs: HOMEPAGE }));
    return;
  }
  sendFile(folder, path, response);
}

/** This machine's addresses in the networks it is in, the IPv4 ones first. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outward = all.filter(({ internal, address }) => !internal && !address.startsWith("fe80"));
  const chosen = outward.sort((a, b) => a.family.localeCompare(b.family)).map(({ address }) => address);
  return chosen.length > 0 ? chosen : ["127.0.0.1"];
}

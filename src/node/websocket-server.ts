/**
 * The WebSocket server of Node and Deno: it checks the interface that it binds, the Origin and the Host of whoever
 * connects, and how much is sent before the token is proved. Admission (hub/admission.ts) and the caller decide who is
 * admitted.
 */

import { lookup } from "node:dns/promises";
import { createServer as createHttpServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import {
  type AddressInfo,
  createServer as createNetServer,
  isIP,
  type Server as NetServer,
  type Socket as NetSocket,
} from "node:net";
import { WebSocketServer } from "ws";
import type { Socket } from "../link/link.ts";
import type { MayBeAbsent } from "../options.ts";
import type { BindRemedies, Listener, ListenOptions } from "../platform.ts";
import { bareHost, isLoopback, urlHost } from "../support/host.ts";
import type { Hello, Welcome } from "../wire/handshake.ts";
import { greet, Pending } from "./greet.ts";
import { UPGRADE_OPTIONS, Upgrade } from "./upgrade.ts";

/** Most sockets of one address that are open and not authenticated (S8). */
const MAX_PENDING_PER_ADDRESS = 256;
/** HTTP headers must be complete within this time (S7). */
const HEADERS_TIMEOUT_MS = 5_000;
const CHECKING_INTERVAL_MS = 500;

/** Options of a server, with those of {@link ListenOptions}; absent fields have safe defaults. */
export interface ServerOptions extends MayBeAbsent<ListenOptions> {
  maxMessageBytes?: number | undefined;
  helloTimeoutMs?: number | undefined;
  maxPendingPerAddress?: number | undefined;
  /** Answers plain HTTP requests whose Host is known. Default: 426. */
  onRequest?: RequestListener | undefined;
  /** Lets pages in that this server's own address sent. Default: false. */
  sameOrigin?: boolean | undefined;
}

/** An open server. */
export interface WebSocketListener extends Listener {
  /** Sockets that are open and not yet authenticated. */
  readonly pending: number;
}

/**
 * Opens a port and admits who proves the token. `accept` takes over the socket and answers with the welcome; it must not
 * send before it returns, and refuses by throwing AdmissionError.
 * @throws RangeError if the bind is not safe (S1), or the port is in use or out of reach.
 */
export async function listenWebSocket(
  options: ServerOptions,
  accept: (hello: Hello, socket: Socket) => Welcome,
): Promise<WebSocketListener> {
  const { port = 0, tls } = options;
  const host = bareHost(options.host ?? "127.0.0.1");
  const addresses = await addressesOf(host);
  const isLocal = addresses.every(isLoopback);
  checkBind(host, addresses, options);
  const allowed = allowedHosts(host, options.allowHosts);
  const server = createServer(options, allowed);
  const pending = new Pending(options.maxPendingPerAddress ?? MAX_PENDING_PER_ADDRESS);
  const webSockets = new WebSocketServer({
    ...UPGRADE_OPTIONS,
    WebSocket: Upgrade,
    noServer: true,
    clientTracking: false,
    // S5: a subprotocol is never echoed, so that nothing a client puts there comes back or counts as accepted.
    handleProtocols: () => false,
  });
  server.on("upgrade", (request: IncomingMessage, net: NetSocket, head: Buffer) => {
    const address = request.socket.remoteAddress ?? "";
    if (!hostAllowed(request, allowed)) return reject(net, "403 Forbidden", "unknown Host");
    if (!originAllowed(request, options)) return reject(net, "403 Forbidden", "Origin not allowed");
    if (pending.isFull(address)) {
      return reject(net, "429 Too Many Requests", "too many connections that have not said hello");
    }
    webSockets.handleUpgrade(request, net, head, () => greet(net, head, address, pending, options, accept));
  });

  const doors = await openAll(server, host, addresses, port);
  if (options.isQuiet) for (const door of doors) door.unref();
  const { address, port: bound } = server.address() as AddressInfo;
  // A name by which this machine means itself says to others that they can reach it; a certificate is for the name.
  const shown = isLocal && !isLoopback(host) && !tls ? address : host;
  return {
    host,
    port: bound,
    url: `${tls ? "wss" : "ws"}://${urlHost(shown)}:${bound}`,
    get pending() {
      return pending.sockets.size;
    },
    async close() {
      // The port is free at once; the server's own close event would wait for the sockets that were handed out.
      for (const door of doors) door.close();
      server.closeAllConnections();
      for (const socket of pending.sockets) socket.terminate();
    },
  };
}

/** The HTTP server, which answers whatever asks for no WebSocket. */
function createServer({ tls, onRequest }: ServerOptions, allowed: ReadonlySet<string>): Server {
  const timeouts = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: CHECKING_INTERVAL_MS,
  };
  const server: Server = tls ? createHttpsServer({ ...timeouts, ...tls }) : createHttpServer(timeouts);
  server.on("request", (request, response) => {
    if (onRequest && hostAllowed(request, allowed)) {
      onRequest(request, response);
      return;
    }
    response.writeHead(426, { "content-type": "text/plain", connection: "close" });
    response.end("This is a webccl WebSocket address.\n");
  });
  return server;
}

const OPTIONS_OF_HUB: BindRemedies = { token: "token", tls: "tls", insecure: "insecure: true" };

/** S1: only this machine, unless strangers are kept out and the line is encrypted, or the caller insists. */
function checkBind(
  host: string,
  addresses: readonly string[],
  { token, tls, insecure, remedies = OPTIONS_OF_HUB }: ServerOptions,
): void {
  const isUnknown = addresses.length === 0;
  const unknown = `${host} is no name of which this machine knows an address`;
  const isOpen = isUnknown || !addresses.every(isLoopback);
  if (isOpen && !insecure && !(token && tls)) {
    const missing = [...(token ? [] : ["a token"]), ...(tls ? [] : ["TLS"])].join(" and ");
    const wanted = [...(token ? [] : [remedies.token]), ...(tls ? [] : [remedies.tls])].join(" and ");
    throw new RangeError(
      `${isUnknown ? `${unknown}; ` : ""}binding ${host} lets other machines connect, and ${missing} is missing: ` +
        `pass ${wanted}, or ${remedies.insecure} on a network where everyone is trusted`,
    );
  }
  if (isUnknown) throw new RangeError(`${unknown}: choose another one (MASTER_ADDR, --host)`);
}

/** S3: the names under which this server is meant to be reached, in lower case. */
function allowedHosts(host: string, more: readonly string[] = []): ReadonlySet<string> {
  return new Set(["localhost", "127.0.0.1", "[::1]", urlHost(host), ...more].map((name) => name.toLowerCase()));
}

function hostAllowed(request: IncomingMessage, allowed: ReadonlySet<string>): boolean {
  const [, host] = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/i.exec(request.headers.host ?? "") ?? [];
  if (host === undefined) return false;
  const name = host.toLowerCase();
  // The address the connection came in on cannot have been rebound: it is no name.
  const local = request.socket.localAddress?.replace(/^::ffff:/, "") ?? "";
  return allowed.has(name) || (local !== "" && name === urlHost(local));
}

/** S2: browsers always send an Origin; programs do not, and have only the token to show. */
function originAllowed(request: IncomingMessage, { origins = [], sameOrigin, tls }: ServerOptions): boolean {
  const { origin, host } = request.headers;
  if (sameOrigin && origin === `${tls ? "https" : "http"}://${host}`) return true;
  return origin === undefined || (origin !== "null" && origins.includes(origin));
}

function reject(net: NetSocket, status: string, text: string): void {
  net.on("error", () => net.destroy());
  net.once("finish", () => net.destroy());
  net.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
  );
}

/** The addresses that a host has here, of both families where it has both; none if nobody knows it. */
async function addressesOf(host: string): Promise<string[]> {
  if (isIP(host) !== 0) return [host];
  const found = await lookup(host, { all: true }).catch(() => []);
  return [...new Set(found.map(({ address }) => address))];
}

/**
 * Opens the port at each address that this machine has, and hands `server` what comes to any of them.
 * @throws RangeError if it is in use or out of reach at one of them, or if this machine has none of them.
 */
export async function openAll(
  server: Server,
  host: string,
  addresses: readonly string[],
  port: number,
): Promise<NetServer[]> {
  const doors: NetServer[] = [];
  let absent: unknown = null;
  for (const address of addresses) {
    const door = doors.length === 0 ? server : createNetServer((socket) => server.emit("connection", socket));
    try {
      await open(door, address, (doors[0]?.address() as AddressInfo | undefined)?.port ?? port);
      doors.push(door);
    } catch (cause) {
      absent = cause;
      if (isAbsent(cause)) continue;
      for (const opened of doors) opened.close();
      throw unopened(host, port, cause);
    }
  }
  if (doors.length === 0) throw unopened(host, port, absent);
  return doors;
}

function open(server: NetServer, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    // In a worker of node:cluster, a port that is not exclusive is the primary's, and connections go to any of its workers.
    server.listen({ port, host, exclusive: true }, () => resolve());
  });
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code ?? "";

/** Has this machine no such address, or no such family of addresses? */
const isAbsent = (error: unknown) => ["EADDRNOTAVAIL", "EAFNOSUPPORT"].includes(codeOf(error));

function unopened(host: string, port: number, cause: unknown): RangeError {
  const where = `port ${port} on ${host}`;
  const texts: Readonly<Record<string, string>> = {
    EADDRINUSE: `${where} is already in use: end the program that has it, or choose another port (MASTER_PORT, --port; 0 picks a free one); a program that has called initProcessGroup before uses that group, or its newGroup`,
    EACCES: `${where} may not be opened by this user: choose a port above 1023 (MASTER_PORT, --port)`,
    EADDRNOTAVAIL: `${where} could not be opened: it is no address of this machine: choose one that is (--host), or start rank 0 where MASTER_ADDR is`,
  };
  return new RangeError(texts[codeOf(cause)] ?? `${where} could not be opened: ${(cause as Error).message}`, { cause });
}

/**
 * The WebSocket server of Node and Deno: it checks the interface that it binds, the Origin and the Host of whoever
 * connects, and how much is sent before the token is proved. Admission (hub/admission.ts) and the caller decide who is
 * admitted.
 */

import {
  createServer as createHttpServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Socket as NetSocket } from "node:net";
import type { Accept } from "../hub/admission.ts";
import { Doorkeeper } from "../hub/doorkeeper.ts";
import type { HubEvent, Refusal } from "../hub/events.ts";
import type { MayBeAbsent } from "../options.ts";
import type { BindRemedies, Listener, ListenOptions } from "../platform.ts";
import { bareHost, isLoopback, urlHost } from "../support/host.ts";
import { addressesOf, openAll } from "./doors.ts";
import { WebSocketServer } from "./environment/ws.ts";
import { type Ends, greet, Strangers } from "./greet.ts";
import { isForwarded } from "./proxies/forwarded.ts";
import { type PublicUrl, publicUrlOf } from "./proxies/public-url.ts";
import { TrustedProxies } from "./proxies/trusted-proxies.ts";
import { Front } from "./tcp-store/front.ts";
import type { KeyServer } from "./tcp-store/key-server.ts";
import { UPGRADE_OPTIONS, Upgrade } from "./upgrade.ts";

/** Most connections of one address that are not authenticated (S8). */
const MAX_PENDING_PER_ADDRESS = 256;
/** TLS must be agreed on within this time, and then HTTP headers be complete (S7). */
const HEADERS_TIMEOUT_MS = 5_000;
const CHECKING_INTERVAL_MS = 500;

/** Options of a server, with those of {@link ListenOptions}; absent fields have safe defaults. */
export interface ServerOptions extends MayBeAbsent<ListenOptions> {
  maxMessageBytes?: number | undefined;
  helloTimeoutMs?: number | undefined;
  maxPendingPerAddress?: number | undefined;
  /** Those who are let in have time slices, so that one that never stops sending holds no other up. Default: false. */
  isSliced?: boolean | undefined;
  /** Answers plain HTTP requests whose Host is known. Default: a page that says what this is at /, and 426 elsewhere. */
  onRequest?: RequestListener | undefined;
  /** Lets pages in that this server's own address sent, or its public one. Default: false. */
  sameOrigin?: boolean | undefined;
  /** The address under which others reach this server, where a proxy stands before it. */
  publicUrl?: string | undefined;
  /** Proxies whose word is taken for the address of their clients: see {@link TrustedProxies}. Default: none. */
  trustProxy?: readonly string[] | undefined;
  /** Hears who joins, and who is refused. */
  onEvent?: ((event: HubEvent) => void) | undefined;
  /** A TCPStore that the same port serves. It has no secret: for a server without token and TLS alone. */
  tcpStore?: KeyServer | undefined;
}

/** An open server. */
export interface WebSocketListener extends Listener {
  /** Sockets that are open and not yet authenticated. */
  readonly pending: number;
  /** Ids of used tickets that are kept. */
  readonly usedTickets: number;
  /** The address that others use, if it was given. */
  readonly publicUrl: PublicUrl | null;
}

/** What the checks of a request need to know. */
interface Checks {
  readonly options: ServerOptions;
  readonly allowed: ReadonlySet<string>;
  readonly publicUrl: PublicUrl | null;
  readonly proxies: TrustedProxies;
  refused(kind: Refusal, address: string, reason: string): void;
  /** Called with each request's headers. */
  look(headers: IncomingHttpHeaders): void;
}

/**
 * Opens a port and admits who proves the token. `accept` takes over the socket and answers with the welcome; it must not
 * send before it returns, and refuses by throwing AdmissionError.
 * @throws RangeError if the bind is not safe (S1), or the port is in use or out of reach; or for a public address or a proxy
 *   that is none.
 */
export async function listenWebSocket(options: ServerOptions, accept: Accept): Promise<WebSocketListener> {
  const { port = 0, tls } = options;
  const host = bareHost(options.host ?? "127.0.0.1");
  const addresses = await addressesOf(host);
  const isLocal = addresses.every(isLoopback);
  checkBind(host, addresses, options);
  const checks = checksOf(options, host, isLocal);
  const server = createServer(checks);
  const strangers = new Strangers(options.maxPendingPerAddress ?? MAX_PENDING_PER_ADDRESS, (address) =>
    checks.refused("crowd", address, "the oldest of too many connections that have not said hello"),
  );
  const greeting = { ...options, doorkeeper: new Doorkeeper(options.token) };
  server.on(
    "upgrade",
    upgrades(checks, (net, head, ends, client) => {
      // The connection may be another socket's once it is greeted.
      strangers.add(ends, () => socket.terminate(), client);
      const socket = greet(net, head, client, greeting, accept, () => strangers.forget(ends));
    }),
  );
  const front =
    options.tcpStore &&
    new Front(server, options.tcpStore, options.helloTimeoutMs ?? HEADERS_TIMEOUT_MS, strangers, options.logger);
  strangers.watch(front?.server ?? server);
  const doors = await openAll(front?.server ?? server, host, addresses, port);
  // It watches over its connections' headers from here on.
  if (front) server.emit("listening");
  if (options.isQuiet) for (const door of doors) door.unref();
  const { address, port: bound } = doors[0]!.address() as AddressInfo;
  // A name by which this machine means itself says to others that they can reach it; a certificate is for the name.
  const shown = isLocal && !isLoopback(host) && !tls ? address : host;
  return {
    host,
    port: bound,
    url: `${tls ? "wss" : "ws"}://${urlHost(shown)}:${bound}`,
    publicUrl: checks.publicUrl,
    get pending() {
      return strangers.size;
    },
    get usedTickets() {
      return greeting.doorkeeper.usedTickets;
    },
    async close() {
      // The port is free at once; the server's own close event would wait for the sockets that were handed out.
      for (const door of doors) door.close();
      if (front) server.close();
      front?.closeConnections();
      server.closeAllConnections();
      strangers.closeAll();
    },
  };
}

function checksOf(options: ServerOptions, host: string, isLocal: boolean): Checks {
  const { publicUrl: url, allowHosts = [], token, logger, onEvent } = options;
  const publicUrl = url === undefined ? null : publicUrlOf(url);
  let isWarned = token !== undefined || !isLocal;
  return {
    options,
    publicUrl,
    allowed: allowedHosts(host, [...allowHosts, ...(publicUrl ? [publicUrl.host] : [])]),
    proxies: new TrustedProxies(options.trustProxy),
    refused: (kind, address, reason) => onEvent?.({ event: "refused", kind, address, reason }),
    look(headers) {
      if (isWarned || !isForwarded(headers)) return;
      isWarned = true;
      logger?.warn(`hub: ${OPEN_TO_PROXY}`);
      onEvent?.({ event: "warning", reason: OPEN_TO_PROXY });
    },
  };
}

const OPEN_TO_PROXY =
  "a proxy forwards requests to this hub, which has no token: whoever reaches the proxy may join any group. Give it a token";

/** Answers whoever asks for a WebSocket; `onOpen` gets those who may have one, by which ends their connection is known, and their address. */
function upgrades(
  { options, allowed, publicUrl, proxies, refused, look }: Checks,
  onOpen: (net: NetSocket, head: Buffer, ends: Ends, client: string) => void,
) {
  const webSockets = new WebSocketServer({
    ...UPGRADE_OPTIONS,
    WebSocket: Upgrade,
    noServer: true,
    clientTracking: false,
    // S5: a subprotocol is never echoed, so that nothing a client puts there comes back or counts as accepted.
    handleProtocols: () => false,
  });
  return (request: IncomingMessage, net: NetSocket, head: Buffer) => {
    const { remoteAddress, remotePort } = net;
    look(request.headers);
    const client = proxies.clientOf(remoteAddress ?? "", request.headers);
    const turnAway = (kind: Refusal, status: string, text: string) => {
      refused(kind, client, text);
      reject(net, status, text);
    };
    const fault = hostFault(request, allowed);
    if (fault) return turnAway("host", `${fault.status} ${STATUS_CODES[fault.status]}`, fault.text);
    if (!originAllowed(request, options, publicUrl)) return turnAway("origin", "403 Forbidden", "Origin not allowed");
    webSockets.handleUpgrade(request, net, head, () => onOpen(net, head, { remoteAddress, remotePort }, client));
  };
}

/** The HTTP server, which answers whatever asks for no WebSocket. */
function createServer({ options, allowed, publicUrl, look }: Checks): Server {
  const { tls, onRequest = answerAlone(publicUrl), logger } = options;
  const timeouts = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: CHECKING_INTERVAL_MS,
  };
  const server: Server = tls
    ? createHttpsServer({ ...timeouts, ...tls, handshakeTimeout: HEADERS_TIMEOUT_MS })
    : createHttpServer(timeouts);
  server.on("request", (request, response) => {
    try {
      look(request.headers);
      const fault = hostFault(request, allowed);
      const page = pageThatAsks(request);
      if (page !== null) answerWhyNot(response, fault === null && originAllowed(request, options, publicUrl, page));
      else if (fault) answer(response, fault.status, fault.text);
      else onRequest(request, response);
    } catch (error) {
      // Nothing that a stranger asks for ends the process.
      logger?.error(`${request.method} ${request.url?.slice(0, 200)} could not be answered`, error);
      answer(response, 500, "This request could not be answered.");
    }
  });
  return server;
}

/** The answer of a server that has nothing but a WebSocket address: who opens it in a browser learns what it is. */
const answerAlone =
  (publicUrl: PublicUrl | null): RequestListener =>
  (request, response) => {
    if (request.url !== "/") return answer(response, 426, "This is a webccl WebSocket address.");
    const own = `${"encrypted" in request.socket ? "wss" : "ws"}://${request.headers.host}`;
    answer(
      response,
      200,
      `This is a webccl hub, and it is running.\n\nRanks join a group here with\n\n` +
        `  initProcessGroup({ initMethod: "${publicUrl?.ws ?? own}/my-group", worldSize: 2 })`,
    );
  };

/** The origin of a page that asks why its WebSocket did not open (browser/why-not-in.ts); null for every other request. */
function pageThatAsks({ url = "" }: IncomingMessage): string | null {
  return URL.canParse(url, "http://localhost") ? new URL(url, "http://localhost").searchParams.get("why-not") : null;
}

/** Its answer, which every page may read, isolated ones too: it tells no more than whether the upgrade was refused. */
function answerWhyNot(response: ServerResponse, isLetIn: boolean): void {
  response.setHeader("access-control-allow-origin", "*");
  response.setHeader("cross-origin-resource-policy", "cross-origin");
  answer(response, isLetIn ? 200 : 403, isLetIn ? "This page is let in." : "This page is not let in.");
}

function answer(response: ServerResponse, status: number, text: string): void {
  if (!response.headersSent) {
    response.writeHead(status, {
      "content-type": "text/plain; charset=utf-8",
      "x-content-type-options": "nosniff",
      connection: "close",
    });
  }
  response.end(`${text}\n`);
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
      `${isUnknown ? `${unknown}; ` : ""}binding ${host} lets other machines connect, and ${missing} ${token || tls ? "is" : "are"} missing: ` +
        `pass ${wanted}, or ${remedies.insecure} on a network where everyone is trusted`,
    );
  }
  if (isUnknown) throw new RangeError(`${unknown}: choose another one (MASTER_ADDR, --host)`);
}

/** S3: the names under which this server is meant to be reached, in lower case. */
export function allowedHosts(host: string, more: readonly string[] = []): ReadonlySet<string> {
  return new Set(["localhost", "127.0.0.1", "[::1]", urlHost(host), ...more].map((name) => name.toLowerCase()));
}

/**
 * Why a request is refused for its header Host, or null. Of two such headers, or of one and a target with another host, a proxy in
 * front may have gone by the other one.
 */
export function hostFault(
  request: IncomingMessage,
  allowed: ReadonlySet<string>,
): { status: 400 | 403; text: string } | null {
  if ((request.headersDistinct.host?.length ?? 0) > 1) return { status: 400, text: "more than one header Host" };
  const [, named = request.headers.host] = /^[a-z][a-z\d+.-]*:\/\/([^/?#]*)/i.exec(request.url ?? "") ?? [];
  if (named !== request.headers.host) return { status: 400, text: "a target with another host than the header Host" };
  return hostAllowed(request, allowed) ? null : { status: 403, text: "unknown Host" };
}

function hostAllowed(request: IncomingMessage, allowed: ReadonlySet<string>): boolean {
  const [, host] = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/i.exec(request.headers.host ?? "") ?? [];
  if (host === undefined) return false;
  const name = host.toLowerCase();
  // The address the connection came in on cannot have been rebound: it is no name.
  const local = request.socket.localAddress?.replace(/^::ffff:/, "") ?? "";
  return allowed.has(name) || (local !== "" && name === urlHost(local));
}

/** Does a page of a browser ask? Whoever types the address comes from no site; what a page asks for has an origin, or says its site. */
export function isOfPage({ headers }: IncomingMessage): boolean {
  const site = headers["sec-fetch-site"];
  return headers.origin !== undefined || (site !== undefined && site !== "none" && site !== "same-origin");
}

/** S2: browsers always send an Origin; programs do not, and have only the token to show. */
function originAllowed(
  request: IncomingMessage,
  { origins = [], sameOrigin, tls }: ServerOptions,
  publicUrl: PublicUrl | null,
  origin = request.headers.origin,
): boolean {
  const { host } = request.headers;
  const own = [`${tls ? "https" : "http"}://${host}`, publicUrl?.origin];
  if (sameOrigin && origin !== undefined && own.includes(origin)) return true;
  return origin === undefined || (origin !== "null" && origins.includes(origin));
}

function reject(net: NetSocket, status: string, text: string): void {
  net.on("error", () => net.destroy());
  net.once("finish", () => net.destroy());
  net.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
  );
}

/**
 * WorkerServer: an HTTP server of one rank, by which people and tools look into a running program: is it alive, in which
 * calls does it wait, what are its figures. It listens at a unix socket that this user alone may open, or on a port of
 * loopback. A page of a browser cannot read it: whatever names another host or comes from another origin is refused.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Server as NetServer, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { ProcessGroup } from "../../group/process-group.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import { asyncDispose } from "../../support/async-dispose.ts";
import { isLoopback, urlHost } from "../../support/host.ts";
import { asError, textOf } from "../../support/thrown.ts";
import { addressesOf, openAll } from "../doors.ts";
import { allowedHosts, hostFault, isOfPage } from "../websocket-server.ts";
import { openUnixSocket } from "./unix-socket.ts";

/** Most bytes of a request's body. */
const MAX_BODY_BYTES = 1024 * 1024;
/** A request must be complete within this time, in milliseconds, and its answer may lie unread for as long. */
const REQUEST_MS = 5_000;
/** Most connections at once: whoever reaches the port would else take all descriptors of the rank. */
const MOST_CONNECTIONS = 64;
/** The handler of the flight recorder. */
const TRACE = "fr_trace_json";

/** Options of {@link WorkerServer}. */
export interface WorkerServerOptions {
  /** The group whose job `/handler/fr_trace_json` and `/metrics` tell of; those are unknown without it. Any group of the job will do. */
  group?: Pick<ProcessGroup, "dumpTrace">;
  /** Host names under which the server is reached, beyond loopback's and `hostOrFile`. */
  allowHosts?: readonly string[];
  /** Allows a bind beyond loopback: everyone who reaches the port may then read all that it tells. Default: false. */
  insecure?: boolean;
}

const WORKER_SERVER_OPTIONS: OptionNames<WorkerServerOptions> = { group: true, allowHosts: true, insecure: true };

/** A request to a handler. */
export interface WorkerRequest {
  /** The query of the address. */
  readonly params: Readonly<Record<string, string>>;
  /** What the request carries. */
  readonly body: string;
}

/** Answers with a text, or with what JSON makes of a value. An error that it throws is answer 500 with its message. */
export type WorkerHandler = (request: WorkerRequest) => unknown;

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** See the file's head. c10d's `_WorkerServer`. */
export class WorkerServer implements AsyncDisposable {
  /**
   * Resolves when it listens. Rejects with RangeError if the port or the file is taken or cannot be had, or if the bind is not safe.
   * Need not be awaited: an error is thrown by `shutdown` too.
   */
  readonly ready: Promise<void>;
  readonly #handlers = new Map<string, WorkerHandler>();
  readonly #options: WorkerServerOptions;
  readonly #server: Server;
  #allowed: ReadonlySet<string> | null = null;
  #url = "";
  #port = -1;
  #close: (() => void) | null = null;
  #connections = 0;
  /** Ends when the dumps that were asked for are made. */
  #dumps: Promise<unknown> = Promise.resolve();
  #shutdown: Promise<void> | null = null;

  /**
   * Listens at `hostOrFile`: the path of a unix socket, which must not exist, if `port` is -1; else an interface of this machine
   * and a port, 0 for a free one. It does not keep the process running.
   * @throws TypeError or RangeError for an argument of the wrong kind; UnsupportedError in a browser.
   */
  constructor(hostOrFile: string, port = -1, options: WorkerServerOptions = {}) {
    checkOptions("WorkerServer", WORKER_SERVER_OPTIONS, options);
    if (typeof hostOrFile !== "string" || hostOrFile === "") {
      throw new TypeError("WorkerServer: hostOrFile must be the path of a socket, or a host if a port is given");
    }
    if (!Number.isInteger(port) || port < -1 || port > 65_535) {
      throw new RangeError(`WorkerServer: port is ${String(port)}: pass 0 to 65535, or -1 for a unix socket`);
    }
    this.#options = { ...options };
    const timeouts = { headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS, connectionsCheckingInterval: 500 };
    this.#server = createServer(timeouts, (request, response) => void this.#respond(request, response));
    // Requests that come together are all read before the first is answered.
    this.#server.maxRequestsPerSocket = 1;
    this.#server.on("connection", (socket: Socket) => this.#admit(socket));
    this.#handlers.set("ping", () => "pong");
    const { group } = options;
    if (group) {
      this.#handlers.set(TRACE, ({ params }) => group.dumpTrace(flagsOf(params)));
    }
    this.ready = port === -1 ? this.#listenAtFile(hostOrFile) : this.#listenAtPort(hostOrFile, port);
    this.ready.catch(() => {});
  }

  /** "http://host:port" or "unix:/path"; empty before it is ready. */
  get url(): string {
    return this.#url;
  }

  /** The port; -1 for a unix socket. */
  get port(): number {
    return this.#port;
  }

  /** The names of all handlers, `/handler/` tells them too. */
  get handlers(): string[] {
    return [...this.#handlers.keys()];
  }

  /**
   * Answers requests to `/handler/name` with what `handler` returns, or resolves to.
   * @throws RangeError if the name has other characters than letters, digits, "_", "-" and ".", or is taken.
   */
  registerHandler(name: string, handler: WorkerHandler): void {
    if (!/^[\w.-]+$/.test(name)) {
      throw new RangeError(
        `WorkerServer: a handler's name has letters, digits, "_", "-" and ".", got ${JSON.stringify(name)}`,
      );
    }
    if (this.#handlers.has(name)) throw new RangeError(`WorkerServer: there is a handler ${name} already`);
    if (typeof handler !== "function") throw new TypeError(`WorkerServer: the handler of ${name} is no function`);
    this.#handlers.set(name, handler);
  }

  /** Ends it: the port or the file is free, and open requests are cut. A second call does nothing. */
  shutdown(): Promise<void> {
    this.#shutdown ??= this.ready.then(
      () => {
        this.#close?.();
        this.#server.closeAllConnections();
      },
      (error) => {
        throw error;
      },
    );
    return this.#shutdown;
  }

  /** `await using`: {@link shutdown}. */
  [asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  async #listenAtFile(path: string): Promise<void> {
    this.#close = await openUnixSocket(this.#server, path);
    this.#server.unref();
    this.#url = `unix:${path}`;
  }

  async #listenAtPort(host: string, port: number): Promise<void> {
    const addresses = await addressesOf(host);
    if (!this.#options.insecure && !(addresses.length > 0 && addresses.every(isLoopback))) {
      throw new RangeError(
        `WorkerServer: at ${host} other machines could read what this rank does: use 127.0.0.1 or a unix socket, ` +
          "or insecure: true on a network where everyone is trusted",
      );
    }
    this.#allowed = allowedHosts(host, this.#options.allowHosts);
    const doors: NetServer[] = await openAll(this.#server, host, addresses, port);
    for (const door of doors) door.unref();
    this.#close = () => {
      for (const door of doors) door.close();
    };
    this.#port = (this.#server.address() as AddressInfo).port;
    this.#url = `http://${urlHost(host)}:${this.#port}`;
  }

  #admit(socket: Socket): void {
    if (this.#connections === MOST_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#connections++;
    socket.once("close", () => this.#connections--);
  }

  /** Makes dumps one after the other, and rests after each for as long as it took: the rank has other work. */
  #inTurn(dump: () => Promise<Answer>): Promise<Answer> {
    const made = this.#dumps.then(async () => {
      const start = performance.now();
      const answer = await dump();
      return { answer, tookMs: performance.now() - start };
    });
    this.#dumps = made.then(({ tookMs }) => sleep(tookMs, undefined, { ref: false })).catch(() => {});
    return made.then(({ answer }) => answer);
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, type, body } = await this.#answer(request).catch((error) => plain(500, textOf(error)));
    if (response.destroyed) return;
    response.writeHead(status, {
      "content-type": type,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "cross-origin-resource-policy": "same-origin",
      connection: "close",
    });
    response.setTimeout(REQUEST_MS, () => response.destroy());
    response.end(body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const { method = "GET" } = request;
    const fault = this.#allowed && hostFault(request, this.#allowed);
    if (fault) return plain(fault.status, fault.text);
    if (isOfPage(request)) return plain(403, "pages may not read a worker server");
    if (method !== "GET" && method !== "POST") return plain(405, "use GET or POST");
    const { url = "/" } = request;
    if (!URL.canParse(url, "http://localhost")) return plain(400, "this is no path");
    const { pathname, searchParams } = new URL(url, "http://localhost");
    if (pathname === "/metrics") return this.#metrics();
    const [, name] = /^\/handler\/([^/]*)$/.exec(pathname) ?? [];
    if (name === "") return json(this.handlers);
    const handler = name === undefined ? undefined : this.#handlers.get(name);
    if (!handler) {
      return plain(404, `there is no handler ${name ?? pathname}; there are ${this.handlers.join(", ")}, and /metrics`);
    }
    const body = await bodyOf(request);
    if (body === null) return plain(413, `a request has at most ${MAX_BODY_BYTES} bytes`);
    const answer = async () => {
      const result = await handler({ params: Object.fromEntries(searchParams), body });
      return typeof result === "string" ? plain(200, result) : json(result);
    };
    return name === TRACE ? this.#inTurn(answer) : answer();
  }

  async #metrics(): Promise<Answer> {
    const { group } = this.#options;
    if (!group) return plain(404, "this worker server has no group: new WorkerServer(hostOrFile, port, { group })");
    const { metricsOf } = await import("../metrics/job-metrics.ts");
    return this.#inTurn(async () => metricsOf(await group.dumpTrace({ includeCollectives: false })));
  }
}

/** The options of `dumpTrace` as an address has them. */
function flagsOf({
  includeCollectives = "true",
  includeStackTraces = "true",
  onlyActive = "false",
}: WorkerRequest["params"]) {
  return {
    includeCollectives: includeCollectives === "true",
    includeStackTraces: includeStackTraces === "true",
    onlyActive: onlyActive === "true",
  };
}

const plain = (status: number, text: string): Answer => ({ status, type: "text/plain; charset=utf-8", body: text });

function json(value: unknown): Answer {
  try {
    return { status: 200, type: "application/json", body: JSON.stringify(value) ?? "null" };
  } catch (error) {
    return plain(500, `JSON cannot have what the handler returned: ${asError(error).message}`);
  }
}

/** The body as text; null if it is too long. */
async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.byteLength;
    if (length > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

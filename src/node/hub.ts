/**
 * The entry `webccl/hub`: a hub in this process, for Node and Deno.
 * @module
 */
import { readFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import { createCpuExecutor } from "../executor/cpu/cpu-executor.ts";
import type { HubEvent } from "../hub/events.ts";
import { Hub } from "../hub/hub.ts";
import type { HubStats } from "../hub/hub-options.ts";
import type { HubQuotas } from "../hub/quotas.ts";
import { checkOptions, type OptionNames } from "../option-checks.ts";
import { DEFAULT_PORT, type Logger } from "../options.ts";
import type { BindRemedies, HubHandle, SharedPart } from "../platform.ts";
import { asyncDispose } from "../support/async-dispose.ts";
import { hostNameOf, originOf } from "../support/host.ts";
import { KeyServer, namesUnder } from "./tcp-store/key-server.ts";
import { listenWebSocket } from "./websocket-server.ts";

export type { HubStats } from "../hub/hub-options.ts";
export { type MintTicketOptions, mintTicket } from "../hub/mint-ticket.ts";
export type { HubQuotas } from "../hub/quotas.ts";
export type { HubHandle } from "../platform.ts";

/** RFC 6455 has no room for more. */
const MAX_REASON_BYTES = 123;

/** Options of {@link createHub}. */
export interface CreateHubOptions {
  /** Interface to bind. Default: 127.0.0.1. Another one needs a token and `tls`, or `insecure`. */
  host?: string | undefined;
  /** Default: 29500. 0 picks a free one. */
  port?: number | undefined;
  /** The secret that every rank must hold. Without one, every program of this machine may join. */
  token?: string | undefined;
  /** A file whose first line is the token. */
  tokenFile?: string | undefined;
  /** Origins of pages that may join, such as "https://example.org". Default: none. */
  origins?: readonly string[] | undefined;
  /** Host names under which this hub is reached, beyond loopback's and `host`. */
  allowHosts?: readonly string[] | undefined;
  /**
   * The address under which others reach this hub, where a proxy with TLS stands before it, such as "wss://example.org/hub/": it
   * is then the `url` of the hub, and its host needs no `allowHosts`.
   */
  publicUrl?: string | undefined;
  /**
   * Proxies that say whose connections they pass on, by X-Forwarded-For or Forwarded: addresses, networks such as "10.0.0.0/8", or
   * "loopback". Limits for each address, and the log, then count the clients' addresses. Default: none.
   */
  trustProxy?: readonly string[] | undefined;
  /** Certificate and key in PEM: the address is then wss://. */
  tls?: { cert: string; key: string } | undefined;
  /** Allows a bind beyond loopback without token and TLS. Default: false. */
  insecure?: boolean | undefined;
  /** Bytes waiting for one rank at which those who send to it are held back. Default: 16 MiB. */
  highWaterBytes?: number | undefined;
  /** Largest message. Default: 16 MiB. */
  maxMessageBytes?: number | undefined;
  /** What one group may have here, and how many groups and connections there may be. */
  quotas?: HubQuotas | undefined;
  /** Where diagnostics go. Default: nowhere. */
  logger?: Logger | undefined;
}

const CREATE_HUB_OPTIONS: OptionNames<CreateHubOptions> = {
  ...{
    host: true,
    port: true,
    token: true,
    tokenFile: true,
    origins: true,
    allowHosts: true,
    publicUrl: true,
    trustProxy: true,
    tls: true,
    insecure: true,
  },
  ...{ highWaterBytes: true, maxMessageBytes: true, quotas: true, logger: true },
};

/** The counts of {@link HubStats}, and those at the hub's door. */
export interface HubServerStats extends HubStats {
  /** Connections that have not proved anything yet. */
  pendingConnections: number;
  /** Used tickets that are remembered, because they have not expired. */
  usedTickets: number;
}

/** A running hub. */
export interface HubServer extends HubHandle, AsyncDisposable {
  /** Where it listens itself: the `url`, unless a proxy stands before it. */
  readonly listensAt: string;
  /** Groups and members that are here now, bytes that wait, frames dropped so far. */
  readonly stats: HubServerStats;
  /**
   * Closes the port and every connection. Members are told `reason`, of at most 123 bytes in UTF-8.
   * @throws RangeError if it is longer.
   */
  close(reason?: string): Promise<void>;
}

/**
 * Starts a hub, where ranks of any number of groups meet: it keeps their stores, and relays between ranks that cannot
 * connect to each other, such as browser tabs.
 * @throws RangeError if the bind is not safe, the port is in use, or `origins`, `allowHosts`, `publicUrl` or `trustProxy` has no such thing; TypeError if the token file is empty, or both token
 *   and tokenFile are given.
 */
export async function createHub(options: CreateHubOptions = {}): Promise<HubServer> {
  checkOptions("createHub", CREATE_HUB_OPTIONS, options);
  const { port = DEFAULT_PORT, origins, allowHosts, trustProxy, tls } = options;
  // Copies: what the caller does to its lists while the hub runs lets nobody in.
  const copies = {
    origins: origins && [...origins],
    allowHosts: allowHosts && [...allowHosts],
    trustProxy: trustProxy && [...trustProxy],
    tls: tls && { ...tls },
  };
  return startHub({ ...options, ...copies, token: readToken(options), port });
}

/**
 * A hub with the bounds that only tests and embedders set, `hostRank` among them.
 * @internal
 */
export async function startHub(
  options: Omit<CreateHubOptions, "tokenFile"> & {
    hostRank?: number | undefined;
    isQuiet?: boolean | undefined;
    remedies?: BindRemedies | undefined;
    maxRankBytes?: number | undefined;
    maxHubBytes?: number | undefined;
    helloTimeoutMs?: number | undefined;
    silenceMs?: number | undefined;
    onRequest?: RequestListener | undefined;
    sameOrigin?: boolean | undefined;
    slowReaderMs?: number | undefined;
    slotLifeMs?: number | undefined;
    leftCloseMs?: number | undefined;
    maxPendingPerAddress?: number | undefined;
    tcpStore?: SharedPart | undefined;
    onEvent?: ((event: HubEvent) => void) | undefined;
  },
): Promise<HubServer> {
  const executor = await createCpuExecutor();
  // It folds whatever its members send.
  await executor.loadRareLoops();
  // A TCPStore knows no token and no TLS: where the hub has either, the port serves the hub alone.
  const isOpen = options.token === undefined && options.tls === undefined;
  const part = isOpen ? options.tcpStore : undefined;
  const hub = new Hub({ ...options, executor, checksums: await executor.openChecksums(), shared: part });
  const { sharedSpace: space, account } = hub;
  const tcpStore = part && space ? new KeyServer(space, account, namesUnder(part.prefix)) : undefined;
  const names = namesOf(options);
  const listener = await listenWebSocket({ ...options, ...names, tcpStore, isSliced: true }, (...newcomer) =>
    hub.accept(...newcomer),
  );
  options.logger?.info(`hub: listening at ${listener.url}`);
  const close = async (reason = "hub closed") => {
    if (Buffer.byteLength(reason) > MAX_REASON_BYTES) {
      throw new RangeError(`the reason of a close has at most ${MAX_REASON_BYTES} bytes`);
    }
    await listener.close();
    await hub.close(reason);
    await executor.dispose();
  };
  return {
    url: listener.publicUrl?.ws ?? listener.url,
    listensAt: listener.url,
    port: listener.port,
    get stats() {
      return { ...hub.stats, pendingConnections: listener.pending, usedTickets: listener.usedTickets };
    },
    drained: (group, timeoutMs) => hub.drained(group, timeoutMs),
    close,
    [asyncDispose]: () => close(),
  };
}

/**
 * The names of a hub as headers have them: one that no header can have would let nobody in, and nobody would be told.
 * @throws RangeError if one is none.
 */
function namesOf({ origins, allowHosts }: CreateHubOptions): Pick<CreateHubOptions, "origins" | "allowHosts"> {
  const each = (texts: readonly string[] | undefined, read: (text: string) => string | null, wanted: string) =>
    texts?.map((text) => {
      const name = read(text);
      if (name === null) throw new RangeError(`${JSON.stringify(text)} is ${wanted}`);
      return name;
    });
  return {
    origins: each(origins, originOf, 'no origin of pages: give one such as "https://example.org" (--origin, origins)'),
    allowHosts: each(
      allowHosts,
      hostNameOf,
      'no host name: give one such as "example.org", without scheme and port (--allow-host, allowHosts)',
    ),
  };
}

/**
 * The token of these options, or the first line of their file.
 * @internal
 */
export function readToken({ token, tokenFile }: CreateHubOptions): string | undefined {
  if (tokenFile === undefined) return token;
  if (token !== undefined) throw new TypeError("createHub: give token or tokenFile, not both");
  const [line = ""] = readFileSync(tokenFile, "utf8").split(/\r?\n/, 1);
  if (line.trim() === "") throw new TypeError("createHub: the first line of the token file is empty");
  return line.trim();
}

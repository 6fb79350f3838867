/** Sockets: ranks that can listen, each linked to the others directly. Loaded where a rank can; a page cannot. */

import { AdmissionError, PeerLostError, TimeoutError } from "../../errors.ts";
import type { HostExecutor } from "../../executor/executor.ts";
import type { Socket } from "../../link/link.ts";
import { WebSocketLink } from "../../link/websocket/link.ts";
import type { ConnectOptions, Platform } from "../../platform.ts";
import type { Store } from "../../store/store.ts";
import { randomBytes } from "../../support/clock.ts";
import { decodeUtf8 } from "../../support/utf8.ts";
import { FrameSums } from "../../wire/frame-sums.ts";
import { type Hello, MAX_WORLD_SIZE } from "../../wire/handshake.ts";
import { BIND_REMEDIES } from "../bind-remedies.ts";
import type { Cleanup } from "../cleanup.ts";
import type { Settings } from "../init-options.ts";
import { wireHasChecksums } from "../integrity.ts";
import { linkBetween } from "../linking.ts";
import type { RosterEntry } from "../roster.ts";
import { inTime } from "./in-time.ts";
import { type Medium, PLAIN } from "./medium.ts";

/** The store's key of the secret that the ranks' links have. */
export const SECRET = "link-secret";

/** The medium of a rank that listens. */
export interface WebsocketMedium extends Medium {
  /** The secret of the ranks' links, which the store has for those who join. */
  readonly secret: string;
  /** With which of `members` this rank has WebSockets, and why with others none. */
  describe(members: readonly RosterEntry[]): string;
  /** Ends the listening; links stay. */
  close(): Promise<void>;
}

/** The parts and settings of this medium. */
export interface WebsocketOptions {
  settings: Settings;
  rank: number;
  store: Store;
  /** Computes the checksums of frames. */
  executor: HostExecutor;
  undo: Cleanup;
}

/** Listens. The ranks' links have a secret of their own, which the store shows to the job's ranks and to nobody else. */
export async function openWebsocket(platform: Platform, options: WebsocketOptions): Promise<WebsocketMedium> {
  const { settings, rank, store, executor, undo } = options;
  const { logger, groupName: group, timeoutMs, peerTimeoutMs, signal } = settings;
  // A rank that joins a group that runs is one more than its members began with.
  const worldSize = settings.join ? 0 : settings.worldSize;
  // Who joins must not be the first to come, at a store that has just been opened in place of one that is gone.
  const token = settings.join ? decodeUtf8(await store.get(SECRET)) : await agreeOnSecret(store);
  const arrivals = new Arrivals(group, rank, worldSize);
  undo.push(() => arrivals.close());
  const port = await openPort(platform, options, token, arrivals);

  let own: RosterEntry | undefined;
  const hasChecksums = (other: RosterEntry) => own === undefined || wireHasChecksums(own, other, "websocket");
  /** The higher rank of two opens the link, to the lower one it comes. */
  const socketTo = async (to: RosterEntry): Promise<Socket> => {
    const { rank: other, listenUrl } = to;
    if (other > rank || listenUrl === null) return arrivals.of(other);
    const hello = { group, rank, worldSize, purpose: "link" as const, checksums: hasChecksums(to) };
    return openLink(platform, listenUrl, hello, { token, timeoutMs, silenceMs: peerTimeoutMs, signal }, other);
  };
  return {
    ...PLAIN,
    kind: "websocket",
    offer: { listenUrl: port.url },
    settle: async (roster) => {
      own = roster.find((entry) => entry.rank === rank);
      return roster;
    },
    describe: (members) => (own && describe(own, members)) || "no other rank is there",
    link: async (others, take) => {
      const sumsOf = async (other: RosterEntry) => {
        if (!hasChecksums(other)) return null;
        return { sums: new FrameSums(await executor.openChecksums()), own: rank, other: other.rank };
      };
      const pending = new Set(others.map((other) => other.rank));
      const link = async (other: RosterEntry) => {
        const socket = await socketTo(other);
        const onError = (error: unknown) => logger.error(`the link to rank ${other.rank} broke the protocol:`, error);
        take(other.rank, new WebSocketLink(socket, await sumsOf(other), onError));
        pending.delete(other.rank);
      };
      await inTime(Promise.all(others.map(link)), timeoutMs, () => unlinked(settings, rank, pending));
    },
    secret: token,
    close: () => port.close(),
  };
}

/** Listens for links; `url` is where the others find this rank. */
async function openPort(
  platform: Platform,
  { settings: { listen, logger, peerTimeoutMs }, undo }: WebsocketOptions,
  token: string,
  arrivals: Arrivals,
): Promise<{ url: string; close(): Promise<void> }> {
  const { host = "127.0.0.1", port = 0, tls, advertise, insecure = false } = listen;
  const address = addressToAdvertise(host, advertise);
  const listener = await platform.listen(
    {
      ...{ host, port, token, insecure, remedies: BIND_REMEDIES, logger, allowHosts: [address.hostname] },
      ...{ silenceMs: peerTimeoutMs, ...(tls === undefined ? {} : { tls }) },
    },
    (hello, socket) => arrivals.add(hello, socket),
  );
  undo.push(() => listener.close());
  const url = `${tls ? "wss" : "ws"}://${address.hostname}:${address.port || listener.port}`;
  return { url, close: () => listener.close() };
}

/**
 * Connects to rank `other`.
 * @throws PeerLostError if the connection is cut while it is made: the other rank has taken it for the link, and takes no second one.
 */
async function openLink(
  platform: Platform,
  url: string,
  hello: Hello,
  options: ConnectOptions,
  other: number,
): Promise<Socket> {
  let wasCut = false;
  const onRetry = () => {
    wasCut = true;
  };
  try {
    return (await platform.connect(url, hello, { ...options, onRetry })).socket;
  } catch (error) {
    if (!wasCut || !(error instanceof AdmissionError)) throw error;
    const text = `rank ${other} was lost during the bring-up: the link to it was cut while it was made`;
    throw new PeerLostError(text, { group: hello.group, peer: other, cause: error });
  }
}

function unlinked({ groupName: group, timeoutMs }: Settings, rank: number, pending: ReadonlySet<number>): TimeoutError {
  const missingRanks = [...pending].sort((a, b) => a - b);
  const text = `rank ${rank}: no link to rank ${missingRanks.join(", rank ")} within ${timeoutMs} ms`;
  return new TimeoutError(text, { group, rank, missingRanks });
}

/**
 * Where the others find this rank; the port is "" if it is the listener's.
 * @throws RangeError if that is an address which nobody can connect to; TypeError if it is none.
 */
function addressToAdvertise(host: string, advertise: string | undefined): { hostname: string; port: string } {
  if (advertise === undefined && (host === "0.0.0.0" || host === "::")) {
    throw new RangeError(
      `listen.host is ${host}, every interface of this host: pass listen.advertise, the address at which others reach it`,
    );
  }
  const text = advertise ?? (host.includes(":") ? `[${host}]` : host);
  // Of a scheme without a default port, a port that is given stays.
  const url = URL.canParse(`tcp://${text}`) ? new URL(`tcp://${text}`) : null;
  if (!url?.hostname || url.username || url.pathname !== "" || url.search || url.hash) {
    throw new TypeError(
      `listen.advertise is ${JSON.stringify(text)}: give a host name or address, such as "10.0.0.2" or "node-2:7000"`,
    );
  }
  return url;
}

/** With whom the rank of `own` has WebSockets, and why others that no faster link joins to it have none. "" if there is no other. */
function describe(own: RosterEntry, roster: readonly RosterEntry[]): string {
  const others = roster.filter((other) => other.rank !== own.rank);
  const ranksOf = new Map<string, number[]>();
  for (const other of others) {
    const kind = linkBetween(own, other);
    const isRelayed = kind === "hub" || kind === "webrtc";
    const text = isRelayed ? whyNone(own, other) : kind === "websocket" ? "" : FASTER;
    ranksOf.set(text, [...(ranksOf.get(text) ?? []), other.rank]);
  }
  const told = (text: string, ranks: readonly number[]) => {
    const names = `with rank ${ranks.join(", rank ")}`;
    return text === "" ? names : `not ${names}: ${text}`;
  };
  return [...ranksOf]
    .sort(([a], [b]) => Number(a !== "") - Number(b !== ""))
    .map((entry) => told(...entry))
    .join("; ");
}

const FASTER = "a faster link joins them";

/** Why no WebSocket joins two ranks that a hub, or a data channel, joins. The lower one is the one to which a link comes. */
function whyNone(own: RosterEntry, other: RosterEntry): string {
  if (own.listenUrl === null || other.listenUrl === null) return "nothing listens there";
  const [rank, url] = own.rank < other.rank ? [own.rank, own.listenUrl] : [other.rank, other.listenUrl];
  const { hostname } = new URL(url);
  return `rank ${rank} listens at ${hostname}, which other hosts cannot reach: pass listen: { host } with an address of its host`;
}

/** Most sockets that came and that nobody has waited for. */
const MAX_UNCLAIMED = 4_096;

/** Sockets that came, and those that wait for one. */
class Arrivals {
  readonly #group: string;
  readonly #rank: number;
  readonly #worldSize: number;
  #isClosed = false;
  readonly #arrived = new Map<number, Socket>();
  readonly #awaited = new Map<number, (socket: Socket) => void>();
  /** Ranks that have their link, and do not get another. */
  readonly #linked = new Set<number>();

  /** `worldSize` is 0 where this rank joined a group that ran. */
  constructor(group: string, rank: number, worldSize: number) {
    this.#group = group;
    this.#rank = rank;
    this.#worldSize = worldSize;
  }

  /** @throws AdmissionError for all but the one link that a rank above this one opens. */
  add({ group, purpose, rank, worldSize }: Hello, socket: Socket): void {
    const here = `this address takes the links of rank ${this.#rank} of group "${this.#group}"`;
    if (purpose !== "link" || group !== this.#group) throw new AdmissionError(`${here}, and nothing else`);
    if (rank === null || rank <= this.#rank || rank >= MAX_WORLD_SIZE) {
      throw new AdmissionError(`${here}: ranks above it open theirs here, and rank ${rank} is none`);
    }
    if (worldSize > 0 && this.#worldSize > 0 && worldSize !== this.#worldSize) {
      throw new AdmissionError(`${here}, whose world size is ${this.#worldSize}, and this rank says ${worldSize}`);
    }
    const waiting = this.#arrived.get(rank);
    if (this.#linked.has(rank) || waiting?.isClosed === false) {
      throw new AdmissionError(`rank ${rank} is already linked to rank ${this.#rank}: each rank must be started once`);
    }
    if (this.#isClosed || this.#arrived.size >= MAX_UNCLAIMED) throw new AdmissionError(`${here}, which is closing`);
    const waiter = this.#awaited.get(rank);
    if (!waiter) {
      this.#arrived.set(rank, socket);
      return;
    }
    this.#linked.add(rank);
    waiter(socket);
  }

  /** Ends the sockets that nobody has waited for, and all that still come. */
  close(): void {
    this.#isClosed = true;
    for (const socket of this.#arrived.values()) socket.terminate();
  }

  /** The socket of `rank`, as soon as it comes. */
  of(rank: number): Socket | Promise<Socket> {
    const socket = this.#arrived.get(rank);
    this.#arrived.delete(rank);
    if (!socket || socket.isClosed) return new Promise((resolve) => this.#awaited.set(rank, resolve));
    this.#linked.add(rank);
    return socket;
  }
}

/** The first rank to come makes a random secret; the store shows it to the others. */
async function agreeOnSecret(store: Store): Promise<string> {
  const hex = Array.from(randomBytes(32), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return decodeUtf8(await store.compareSet(SECRET, "", hex));
}

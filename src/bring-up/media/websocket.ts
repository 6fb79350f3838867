/** Sockets: ranks that can listen, each linked to the others directly. Loaded where a rank can; a page cannot. */
import { TimeoutError } from "../../errors.ts";
import type { Socket } from "../../link/link.ts";
import { WebSocketLink } from "../../link/websocket/link.ts";
import type { Platform } from "../../platform.ts";
import type { Store } from "../../store/store.ts";
import { randomBytes, startTimer } from "../../support/clock.ts";
import { decodeUtf8 } from "../../support/utf8.ts";
import type { Settings } from "../init-options.ts";
import type { RosterEntry } from "../roster.ts";
import { type Medium, PLAIN, type Undo } from "./medium.ts";

/** The medium of a rank that listens. */
export interface WebsocketMedium extends Medium {
  /** Ends the listening; links stay. */
  close(): Promise<void>;
}

/** Listens. The ranks' links have a secret of their own, which the store shows to the job's ranks and to nobody else. */
export async function openWebsocket(
  platform: Platform,
  settings: Settings,
  rank: number,
  store: Store,
  undo: Undo[],
): Promise<WebsocketMedium> {
  const { listen, logger, groupName: group, worldSize, timeoutMs, signal } = settings;
  const token = await agreeOnSecret(store);
  const arrivals = new Arrivals();
  const { host = "127.0.0.1", port = 0, tls, advertise } = listen;
  const listener = await platform.listen(
    { host, port, token, logger, ...(tls === undefined ? {} : { tls }) },
    (hello, socket) => {
      if (hello.group !== group || hello.rank === null) socket.terminate();
      else arrivals.add(hello.rank, socket);
    },
  );
  undo.push(() => listener.close());

  /** The higher rank of two opens the link, to the lower one it comes. */
  const socketTo = async ({ rank: other, listenUrl }: RosterEntry): Promise<Socket> => {
    if (other > rank || listenUrl === null) return arrivals.of(other);
    const hello = { group, rank, worldSize, purpose: "link" as const };
    const { socket } = await platform.connect(listenUrl, hello, { token, timeoutMs, signal });
    return socket;
  };
  return {
    ...PLAIN,
    kind: "websocket",
    offer: { listenUrl: advertise ?? listener.url },
    link: async (others, take) => {
      const pending = new Set(others.map((other) => other.rank));
      const link = async (other: RosterEntry) => {
        const socket = await socketTo(other);
        const onError = (error: unknown) => logger.error(`the link to rank ${other.rank} broke the protocol:`, error);
        take(other.rank, new WebSocketLink(socket, onError));
        pending.delete(other.rank);
      };
      await inTime(Promise.all(others.map(link)), timeoutMs, () => {
        const missingRanks = [...pending].sort((a, b) => a - b);
        const text = `rank ${rank}: no link to rank ${missingRanks.join(", rank ")} within ${timeoutMs} ms`;
        return new TimeoutError(text, { group, rank, missingRanks });
      });
    },
    close: () => listener.close(),
  };
}

/** Sockets that came, and those that wait for one. */
class Arrivals {
  readonly #arrived = new Map<number, Socket>();
  readonly #awaited = new Map<number, (socket: Socket) => void>();

  add(rank: number, socket: Socket): void {
    const waiter = this.#awaited.get(rank);
    if (waiter) waiter(socket);
    else this.#arrived.set(rank, socket);
  }

  /** The socket of `rank`, as soon as it comes. */
  of(rank: number): Socket | Promise<Socket> {
    return this.#arrived.get(rank) ?? new Promise((resolve) => this.#awaited.set(rank, resolve));
  }
}

/** The same promise, unless `timeoutMs` pass first. */
function inTime<T>(promise: Promise<T>, timeoutMs: number, expired: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = startTimer(timeoutMs, () => reject(expired()));
    promise.finally(() => timer.cancel()).then(resolve, reject);
  });
}

/** The first rank to come makes a random secret; the store shows it to the others. */
async function agreeOnSecret(store: Store): Promise<string> {
  const hex = Array.from(randomBytes(32), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return decodeUtf8(await store.compareSet("link-secret", "", hex));
}

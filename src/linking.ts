/**
 * Linking: a link from this rank to every other one. The higher rank of each pair connects to the lower one, threads of one
 * job meet in their memory, and the hub relays between ranks that cannot reach each other.
 */
import { StoreError, TimeoutError } from "./errors.ts";
import type { Settings } from "./init-options.ts";
import type { Meeting, Undo } from "./meeting.ts";
import type { Platform } from "./platform.ts";
import { linkBetween, type RosterEntry } from "./roster.ts";
import type { Store } from "./store/store.ts";
import type { Threads } from "./threads.ts";
import type { HubLinks } from "./transport/hub-links.ts";
import type { Link, Socket } from "./transport/transport.ts";
import { WebSocketLink } from "./transport/websocket.ts";

/** A listener for direct links, and the sockets that came to it. */
export interface Listening {
  readonly url: string;
  /** Secret that every rank of this job knows, and nobody else. */
  readonly secret: string;
  /** The socket that `rank` opened. */
  from(rank: number): Promise<Socket>;
  close(): Promise<void>;
}

export async function listen(
  platform: Platform,
  { listen: options, logger, groupName }: Settings,
  { store }: Meeting,
  undo: Undo[],
): Promise<Listening | null> {
  if (!platform.canListen) return null;
  const secret = await agreeOnSecret(store);
  const arrived = new Map<number, Socket>();
  const awaited = new Map<number, (socket: Socket) => void>();
  const { host = "127.0.0.1", port = 0, tls, advertise } = options;
  const listener = await platform.listen(
    { host, port, token: secret, logger, ...(tls === undefined ? {} : { tls }) },
    ({ group, rank }, socket) => {
      if (group !== groupName || rank === null) return socket.terminate();
      const waiter = awaited.get(rank);
      if (waiter) waiter(socket);
      else arrived.set(rank, socket);
    },
  );
  undo.push(() => listener.close());
  return {
    url: advertise ?? listener.url,
    secret,
    from: (rank) => {
      const socket = arrived.get(rank);
      return socket ? Promise.resolve(socket) : new Promise((resolve) => awaited.set(rank, resolve));
    },
    close: () => listener.close(),
  };
}

/** The first rank to come makes a random secret; the store shows it to the others. */
async function agreeOnSecret(store: Store): Promise<string> {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return new TextDecoder().decode(await store.compareSet("link-secret", "", hex));
}

export async function linkAll(
  platform: Platform,
  settings: Settings,
  roster: readonly RosterEntry[],
  rank: number,
  listening: Listening | null,
  relayed: HubLinks | null,
  threads: Threads | null,
  undo: Undo[],
): Promise<Map<number, Link>> {
  const { groupName, worldSize, timeoutMs, signal, logger } = settings;
  const own = roster[rank]!;
  const links = new Map<number, Link>();
  const pending = new Set<number>();
  undo.push(() => {
    for (const link of links.values()) link.close();
  });

  const connect = async (other: RosterEntry): Promise<Socket> => {
    if (other.rank > rank) return listening!.from(other.rank);
    const hello = { group: groupName, rank, worldSize, purpose: "link" as const };
    const token = listening!.secret;
    const { socket } = await platform.connect(other.listenUrl!, hello, { token, timeoutMs, signal });
    return socket;
  };
  const link = async (other: RosterEntry): Promise<void> => {
    pending.add(other.rank);
    const socket = await connect(other);
    const onError = (error: unknown) => logger.error(`the link to rank ${other.rank} broke the protocol:`, error);
    links.set(other.rank, new WebSocketLink(socket, onError));
    pending.delete(other.rank);
  };

  const byMemory = threads?.links(rank);
  if (byMemory) undo.push(() => byMemory.close());
  const direct: Promise<void>[] = [];
  for (const other of roster) {
    if (other.rank === rank) continue;
    const kind = linkBetween(own, other);
    if (kind === "shared-memory") links.set(other.rank, byMemory!.link(other.rank, other.thread!.index));
    else if (kind === "websocket") direct.push(link(other));
    else if (relayed) links.set(other.rank, relayed.link(other.rank));
    else {
      throw new StoreError(
        `rank ${rank} and rank ${other.rank} cannot reach each other directly, and there is no hub to relay: ` +
          "meet through ws://, tcp:// or env://, or pass listen: { host, advertise }",
      );
    }
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const missingRanks = [...pending].sort((a, b) => a - b);
      const text = `rank ${rank}: no link to rank ${missingRanks.join(", rank ")} within ${timeoutMs} ms`;
      reject(new TimeoutError(text, { group: groupName, rank, missingRanks }));
    }, timeoutMs);
  });
  try {
    await Promise.race([Promise.all(direct), expired]);
  } finally {
    clearTimeout(timer);
  }
  return links;
}

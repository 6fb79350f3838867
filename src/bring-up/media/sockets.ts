/** Direct links: between ranks that can listen. `init.ts` loads this where a rank can; a page cannot. */

import { TimeoutError } from "../../errors.ts";
import type { Socket } from "../../link/link.ts";
import { WebSocketLink } from "../../link/websocket/link.ts";
import type { Platform } from "../../platform.ts";
import type { Store } from "../../store/store.ts";
import { randomBytes, startTimer, type Timer } from "../../support/clock.ts";
import type { Settings } from "../init-options.ts";
import type { Meeting, Undo } from "../meeting.ts";
import type { RosterEntry } from "../roster.ts";

/** A listener for direct links, and the sockets that came to it. */
export interface Listening {
  readonly url: string;
  /**
   * Links `rank`, which is this one, to `others`: the higher rank of two opens the link, to the lower one it comes. `take`
   * gets each as soon as it is there.
   * @throws TimeoutError naming those to which there is none within `timeoutMs`.
   */
  linkTo(
    others: readonly RosterEntry[],
    rank: number,
    take: (other: RosterEntry, link: WebSocketLink) => void,
  ): Promise<void>;
  close(): Promise<void>;
}

/** Listens. The ranks' links have a secret of their own, which the store shows to the job's ranks and to nobody else. */
export async function listen(
  platform: Platform,
  { listen: options, logger, groupName, worldSize, timeoutMs, signal }: Settings,
  { store }: Meeting,
  undo: Undo[],
): Promise<Listening> {
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
  const socketTo = async (other: RosterEntry, rank: number): Promise<Socket> => {
    if (other.rank > rank) {
      return arrived.get(other.rank) ?? new Promise((resolve) => awaited.set(other.rank, resolve));
    }
    const hello = { group: groupName, rank, worldSize, purpose: "link" as const };
    const { socket } = await platform.connect(other.listenUrl!, hello, { token: secret, timeoutMs, signal });
    return socket;
  };
  return {
    url: advertise ?? listener.url,
    linkTo: async (others, rank, take) => {
      const pending = new Set(others.map((other) => other.rank));
      const link = async (other: RosterEntry): Promise<void> => {
        const socket = await socketTo(other, rank);
        const onError = (error: unknown) => logger.error(`the link to rank ${other.rank} broke the protocol:`, error);
        take(other, new WebSocketLink(socket, onError));
        pending.delete(other.rank);
      };
      let timer: Timer | undefined;
      const expired = new Promise<never>((_, reject) => {
        timer = startTimer(timeoutMs, () => {
          const missingRanks = [...pending].sort((a, b) => a - b);
          const text = `rank ${rank}: no link to rank ${missingRanks.join(", rank ")} within ${timeoutMs} ms`;
          reject(new TimeoutError(text, { group: groupName, rank, missingRanks }));
        });
      });
      try {
        await Promise.race([Promise.all(others.map(link)), expired]);
      } finally {
        timer?.cancel();
      }
    },
    close: () => listener.close(),
  };
}

/** The first rank to come makes a random secret; the store shows it to the others. */
async function agreeOnSecret(store: Store): Promise<string> {
  const bytes = randomBytes(32);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return new TextDecoder().decode(await store.compareSet("link-secret", "", hex));
}

/** Message ports: ranks that are tabs of one browser, of one origin. Loaded where a page meets others at a hub. */
import { TimeoutError, UnsupportedError } from "../../errors.ts";
import type { HubConnection } from "../../link/hub/connection.ts";
import { MessagePortLinks } from "../../link/message-port/links.ts";
import type { Platform } from "../../platform.ts";
import { textOf } from "../../support/thrown.ts";
import type { Cleanup } from "../cleanup.ts";
import type { Settings } from "../init-options.ts";
import type { RosterEntry } from "../roster.ts";
import { inTime } from "./in-time.ts";
import { type Medium, PLAIN } from "./medium.ts";

/** The message ports of a rank. */
export interface MessagePorts extends Medium {
  /** `rank` is gone, as the hub says: no browser does. */
  ended(rank: number): void;
}

/**
 * The medium of this tab, which has met the others at a hub; null if its browser lets it have none.
 * @throws UnsupportedError if this one is asked for and there is none.
 */
export async function openMessagePorts(
  { openPortExchange }: Platform,
  settings: Settings,
  rank: number,
  hub: HubConnection | null,
  undo: Cleanup,
): Promise<MessagePorts | null> {
  const { transport, logger } = settings;
  try {
    if (!openPortExchange || !hub) throw new UnsupportedError("they are for tabs that meet at a hub");
    const exchange = await openPortExchange();
    const onError = (error: unknown) => logger.error("a link to another tab broke the protocol:", error);
    const links = new MessagePortLinks(exchange, onError);
    undo.push(() => links.close());
    return mediumOf({ room: exchange.room, seat: exchange.seat }, links, settings, rank);
  } catch (cause) {
    const text = `rank ${rank} has no message ports to other tabs: ${textOf(cause)}`;
    if (transport === "message-port") throw new UnsupportedError(`transport "message-port": ${text}`, { cause });
    logger.info(text);
    return null;
  }
}

function mediumOf(tab: RosterEntry["tab"], links: MessagePortLinks, settings: Settings, rank: number): MessagePorts {
  const seats = new Map<number, number>();
  return {
    ...PLAIN,
    kind: "message-port",
    offer: { tab },
    settle: async (roster) => {
      const other = roster.find((entry) => entry.tab?.room !== tab?.room);
      if (other && settings.transport === "message-port") {
        const text = `rank ${rank} and rank ${other.rank} are no tabs of one browser and one origin`;
        throw new UnsupportedError(`transport "message-port": ${text}`);
      }
      return roster;
    },
    link: async (others, take) => {
      for (const other of others) if (other.tab) seats.set(other.rank, other.tab.seat);
      const pending = new Set(seats.keys());
      const linking = [...seats].map(async ([other, seat]) => {
        take(other, await links.link(seat, rank < other));
        pending.delete(other);
      });
      await inTime(Promise.all(linking), settings.timeoutMs, () => unlinked(settings, rank, pending));
      links.close();
    },
    ended: (other) => {
      const seat = seats.get(other);
      if (seat !== undefined) links.ended(seat);
    },
  };
}

function unlinked({ groupName: group, timeoutMs }: Settings, rank: number, pending: ReadonlySet<number>): TimeoutError {
  const missingRanks = [...pending];
  const text = `rank ${rank}: no message port to rank ${missingRanks.join(", rank ")} within ${timeoutMs} ms`;
  return new TimeoutError(text, { group, rank, missingRanks });
}

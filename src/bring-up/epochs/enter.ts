/** Enter: how a rank that joins a group that runs comes into it: it knocks, links to those it is told of, and hears the verdict. */
import type { Link } from "../../link/link.ts";
import { answered, knock } from "../../membership/knocks.ts";
import { encodeControl } from "../../wire/control.ts";
import type { Cleanup } from "../cleanup.ts";
import type { Settings } from "../init-options.ts";
import type { Media } from "../media/media.ts";
import type { Meeting } from "../meeting/contract.ts";
import type { RosterEntry } from "../roster.ts";
import { linkJoiners } from "./joiner-links.ts";
import { entryOf } from "./succession.ts";

/** How long the links to the members may take, in milliseconds. */
const LINK_MS = 5_000;

/** What a rank has found when it knows with whom it is to link, and is linked as far as that works. */
export interface Entrance {
  /** The epoch that ends when this rank comes in, and its members. */
  readonly epoch: number;
  readonly members: readonly number[];
  /** By seat. */
  readonly roster: RosterEntry[];
  readonly links: ReadonlyMap<number, Link>;
}

/**
 * Knocks, and links this rank to those with whom it is to be in one group.
 * @throws TimeoutError if nobody lets it in; AdmissionError if it may not come in.
 */
export async function knockAndLink(
  own: RosterEntry,
  { store }: Meeting,
  media: Media,
  settings: Settings,
  undo: Cleanup,
): Promise<Entrance> {
  const { timeoutMs, signal } = settings;
  const number = await knock(store, own.rank, encodeControl(own), timeoutMs, signal);
  const invitation = await answered(store, number, timeoutMs, signal);
  const others = invitation.entries.map(entryOf).filter(({ rank }) => rank !== own.rank);
  const roster: RosterEntry[] = [];
  for (const entry of [...others, own]) roster[entry.rank] = entry;
  for (const medium of media.all) await medium.settle([...others, own]);
  const links = new Map<number, Link>();
  undo.push(() => {
    for (const link of links.values()) link.close();
  });
  await linkJoiners(own, others, media.all, LINK_MS, (seat, link) => links.set(seat, link));
  return { epoch: invitation.epoch - 1, members: invitation.members, roster, links };
}

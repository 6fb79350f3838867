/**
 * Medium: one way in which ranks of a job are joined. What each rank's media offer stands in its entry of the roster; from the
 * roster every rank tells alike which medium joins which pair (`linking.ts`). A medium then makes the links, and the region of
 * a group that it joins as a whole.
 */
import type { GroupRegion } from "../../backend/direct/direct.ts";
import type { Link, LinkKind } from "../../link/link.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { RosterEntry } from "../roster.ts";

/** What a medium writes into its rank's entry of the roster. */
export type Offer = Partial<
  Pick<RosterEntry, "inMemory" | "thread" | "tab" | "listenUrl" | "webrtc" | "sharedFile" | "mappedMemory">
>;

/** One medium on one rank. */
export interface Medium {
  readonly kind: LinkKind;
  readonly offer: Offer;
  /**
   * The offers of all ranks are known; in a group that runs, those of its members, in any order. Returns the roster, with what the
   * ranks have told each other of this medium since.
   */
  settle(roster: readonly RosterEntry[]): Promise<readonly RosterEntry[]>;
  /**
   * Links this rank to `others`, which the roster joins to it by this medium. `take` gets each link as soon as it is there.
   * @throws TimeoutError naming the ranks to which there is no link in time.
   */
  link(others: readonly RosterEntry[], take: (rank: number, link: Link) => void): Promise<void>;
  /** The region of a group whose slowest links are this medium's; null where such a group has messages alone. */
  openRegion(channel: Channel): GroupRegion | null;
  /** What `info()` says of it. */
  readonly description: string;
}

/** A medium that joins without further talk, and brings no region. */
export const PLAIN = {
  offer: {},
  settle: async (roster: readonly RosterEntry[]) => roster,
  openRegion: () => null,
  description: "",
} as const;

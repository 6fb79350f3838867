/** What a meeting is given, and what it comes to. */
import type { HubConnection } from "../../link/hub/connection.ts";
import type { Link } from "../../link/link.ts";
import type { HubHandle } from "../../platform.ts";
import type { Store } from "../../store/store.ts";
import type { Cleanup } from "../cleanup.ts";
import type { Vigil } from "../vigil.ts";

/** Where the ranks meet, once met. */
export interface Meeting {
  readonly rank: number;
  readonly epoch: number;
  readonly store: Store;
  readonly hub: HubConnection | null;
  /** The ticket by which this rank may meet the others at another hub, if it came to this one by a ticket. */
  readonly resume: string | undefined;
  /** The hub, if this rank hosts it. */
  readonly hosted: HubHandle | null;
  /** All links, where they need no bring-up. */
  readonly links: ReadonlyMap<number, Link> | null;
  /** This rank has come up. */
  readonly up?: () => Promise<void>;
  /** Gives up what was taken for the meeting. */
  readonly leave?: () => unknown;
}

/** How this rank comes to the meeting. */
export interface Coming {
  readonly undo: Cleanup;
  readonly vigil: Vigil;
  /** Has it been sent away from the meeting before, because another took its seat? */
  readonly again: boolean;
}

/** The parts of a job that a new epoch may replace, on one rank. */
import type { Mesh } from "../../messaging/mesh.ts";
import type { Platform } from "../../platform.ts";
import type { Settings } from "../init-options.ts";
import type { Media } from "../media/media.ts";
import type { Meeting } from "../meeting/contract.ts";
import type { RosterEntry } from "../roster.ts";

/** See the file's head. `docs/membership.md` explains seats and epochs. */
export interface JobParts {
  readonly platform: Platform;
  readonly settings: Settings;
  readonly mesh: Mesh;
  /** This rank's seat: its rank at the start of the job, or behind all others if it joined later. */
  readonly seat: number;
  /** By seat; there are gaps. */
  readonly roster: (RosterEntry | undefined)[];
  epoch: number;
  /** The seats of this epoch's members, in order. */
  members: readonly number[];
  media: Media;
  meeting: Meeting;
}

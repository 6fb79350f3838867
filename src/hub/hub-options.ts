/** The options of a hub, and its counts. */
import type { Executor } from "../executor/executor.ts";
import type { Logger, MayBeAbsent } from "../options.ts";
import type { Checksums } from "../wire/checksum.ts";
import type { HubEvent } from "./events.ts";
import type { HubQuotas } from "./quotas.ts";
import type { RelayLimits } from "./relay.ts";
import type { SharedStore } from "./rooms.ts";

/** Options of a hub. Its limits are by default 16 MiB, the high-water mark and three messages, 1 GiB, and 60 s. */
export interface HubOptions extends MayBeAbsent<RelayLimits> {
  /** The rank whose process this hub lives in; null or absent for a hub of its own. */
  hostRank?: number | null | undefined;
  /** Folds the parts that ranks send. The hub does not dispose of it. */
  executor: Executor;
  checksums: Checksums;
  /** Default: 16 MiB. */
  maxMessageBytes?: number | undefined;
  quotas?: HubQuotas | undefined;
  /** How long a fold may wait without anyone coming to it, in milliseconds. Default: an hour. */
  slotLifeMs?: number | undefined;
  /** How long a member that has said goodbye may keep its connection, in milliseconds. Default: 5,000. */
  leftCloseMs?: number | undefined;
  logger?: Logger | undefined;
  /** Hears who goes, and who is evicted. */
  onEvent?: ((event: HubEvent) => void) | undefined;
  /** The group of whose store others serve the keys under `prefix` besides. */
  shared?: SharedStore | undefined;
}

/** Counts of what is in a hub at this moment, and of the frames it has dropped so far. */
export interface HubStats {
  /** Groups and stores that are here. */
  rooms: number;
  /** Ranks and clients of stores that are here. */
  members: number;
  /** Of frames that wait for ranks. */
  bytesInFlight: number;
  /** Of all that is kept for ranks and groups: those frames, half messages, parts of folds, calls that wait, stores. */
  bytesKept: number;
  /** Frames that belonged nowhere. */
  droppedFrames: number;
}

/** Sizes by which a group of ranks is tuned, and which have to agree with each other. */
import type { LinkKind } from "../link/link.ts";

const KIB = 1024;

/** Up to so many ranks on sockets pass nothing on from rank to rank (`messages/rows.ts`), and have no use for short segments. */
export const FEW_RANKS = 4;

/**
 * Most bytes of one message. In files a few of them fit the second-level cache, from one copy to the next; on a socket a
 * message costs as much as some 100 KiB of it.
 */
const SEGMENT_BYTES: Readonly<Record<LinkKind, number>> = {
  memory: 512 * KIB,
  "shared-memory": 512 * KIB,
  "mapped-memory": 128 * KIB,
  "shared-file": 128 * KIB,
  "message-port": 1024 * KIB,
  websocket: 1024 * KIB,
  webrtc: 512 * KIB,
  hub: 512 * KIB,
};

/** Of few ranks on sockets: enough for whole MiBs, behind which spans of unknown length would have an empty message. */
const LONG_SEGMENT_BYTES = 4160 * KIB;

/** Most bytes of small tensors that a coalesced call copies into one run of elements, and so has twice in memory. */
export const MOST_BUNDLE_BYTES = 16 * KIB * KIB;

/** How many are under way at once; fewer where they are long, and no GPU has to read one while another travels. */
const SEGMENTS_IN_FLIGHT = 4;
const LONG_SEGMENTS_IN_FLIGHT = 2;

/** Most bytes of one message of a group: the same on every rank. `hasGpu`: some rank of it has one, and reads a segment while another travels. */
export function segmentBytesOf(link: LinkKind, ranks: number, hasGpu: boolean): number {
  return link === "websocket" && ranks <= FEW_RANKS && !hasGpu ? LONG_SEGMENT_BYTES : SEGMENT_BYTES[link];
}

/** How many segments a rank has under way at once. `hasGpu`: this rank has one. */
export function segmentsInFlightOf(link: LinkKind, hasGpu: boolean): number {
  return link === "websocket" && !hasGpu ? LONG_SEGMENTS_IN_FLIGHT : SEGMENTS_IN_FLIGHT;
}

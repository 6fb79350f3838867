/** What `group.stats()` tells: the sums of a group's calls, and its traffic with each peer. Loaded when it is asked for. */
import { now } from "../../support/clock.ts";
import { TRAFFIC_FIELDS } from "../../support/traffic.ts";
import { COLLECTIVES, type Collective } from "../../types.ts";
import { type GroupRecord, SUMS } from "./recorder.ts";

/** The calls of one collective that have ended. */
export interface CollectiveStats {
  /** The call's name. */
  readonly collective: Collective;
  /** How many have ended. */
  readonly calls: number;
  /** Those that rejected. */
  readonly failed: number;
  /** Bytes of this rank's tensors: of the larger of what a call reads and what it writes, as nccl-tests counts a size. */
  readonly bytes: number;
  /** Milliseconds in the backend. Starts of persistent calls that end at once are not timed. */
  readonly activeMs: number;
  /** Milliseconds for which calls waited for earlier ones of this rank. */
  readonly waitedMs: number;
  /** Bytes of the timed calls over `activeMs`, in decimal GB/s (algbw); 0 before there is any. */
  readonly bandwidthGBs: number;
}

/** The traffic with one peer. Ranks whose memory the others address (threads) send no messages: these count none. */
export interface PeerStats {
  /** The other rank. */
  readonly rank: number;
  /** Bytes sent to it. */
  readonly sentBytes: number;
  /** Messages sent to it. */
  readonly sentMessages: number;
  /** Bytes that came from it. */
  readonly receivedBytes: number;
  /** Messages that came from it. */
  readonly receivedMessages: number;
  /** Milliseconds for which calls waited for this rank. */
  readonly waitedMs: number;
  /** Bytes that were sent on the link and not yet taken there, or wait to be sent: those of all groups. */
  readonly inFlightBytes: number;
  /** Bytes both ways over the time for which the group is up, in decimal GB/s. */
  readonly bandwidthGBs: number;
}

/** What `group.stats()` resolves to. */
export interface GroupStats {
  /** The group's name. */
  readonly group: string;
  /** This rank in the group. */
  readonly rank: number;
  /** How many ranks the group has. */
  readonly size: number;
  /** Milliseconds since the group was made. */
  readonly upMs: number;
  /** Calls that run now, and the bytes of their tensors. */
  readonly running: number;
  /** Bytes of the tensors of calls that run. */
  readonly runningBytes: number;
  /** Collectives that were called, in the order of their codes. */
  readonly collectives: readonly CollectiveStats[];
  /** The other ranks. */
  readonly peers: readonly PeerStats[];
}

/** Decimal GB/s. */
const rateOf = (bytes: number, ms: number) => (ms > 0 ? bytes / ms / 1e6 : 0);

/** The stats of one group, now. */
export function statsOf(record: GroupRecord): GroupStats {
  const upMs = now() - record.since;
  return {
    group: record.group.name,
    rank: record.group.rank,
    size: record.group.globalRanks.length,
    upMs,
    running: record.running.size,
    runningBytes: [...record.running.keys()].reduce((sum, id) => sum + record.bytesOf(id), 0),
    collectives: COLLECTIVES.map((collective, code) => {
      const [calls = 0, failed = 0, bytes = 0, timedBytes = 0, activeMs = 0, waitedMs = 0] = record.sums.subarray(
        code * SUMS,
        (code + 1) * SUMS,
      );
      return { collective, calls, failed, bytes, activeMs, waitedMs, bandwidthGBs: rateOf(timedBytes, activeMs) };
    }).filter(({ calls }) => calls > 0),
    peers: peersOf(record, upMs),
  };
}

function peersOf({ group, backend }: GroupRecord, upMs: number): PeerStats[] {
  const traffic = backend()?.traffic;
  if (!traffic) return [];
  const others = group.globalRanks.map((_, rank) => rank).filter((rank) => rank !== group.rank);
  return others.map((rank) => {
    const [sentBytes = 0, sentMessages = 0, receivedBytes = 0, receivedMessages = 0, waitedMs = 0] =
      traffic.counts.subarray(rank * TRAFFIC_FIELDS, (rank + 1) * TRAFFIC_FIELDS);
    return {
      ...{ rank, sentBytes, sentMessages, receivedBytes, receivedMessages, waitedMs },
      inFlightBytes: traffic.inFlight(rank),
      bandwidthGBs: rateOf(sentBytes + receivedBytes, upMs),
    };
  });
}

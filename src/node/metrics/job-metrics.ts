/** Metrics of a job: the stats of its groups. Loaded when they are asked for. */
import type { TraceDump } from "../../group/trace/dump.ts";
import { Figures, type MetricsPage } from "./figures.ts";

const OF_PEERS = {
  sentBytes: { name: "webccl_peer_sent_bytes_total", help: "Bytes of messages sent to a peer" },
  sentMessages: { name: "webccl_peer_sent_messages_total", help: "Messages sent to a peer" },
  receivedBytes: { name: "webccl_peer_received_bytes_total", help: "Bytes of messages received from a peer" },
  receivedMessages: { name: "webccl_peer_received_messages_total", help: "Messages received from a peer" },
  waitedMs: { name: "webccl_peer_waited_milliseconds_total", help: "Milliseconds for which calls waited for a peer" },
  inFlightBytes: { name: "webccl_peer_in_flight_bytes", help: "Bytes on the way to a peer" },
};

const OF_COLLECTIVES = {
  calls: { name: "webccl_calls_total", help: "Calls that have ended" },
  failed: { name: "webccl_failed_calls_total", help: "Calls that have rejected" },
  bytes: { name: "webccl_call_bytes_total", help: "Bytes of the tensors of calls" },
  activeMs: { name: "webccl_call_active_milliseconds_total", help: "Milliseconds of calls in the backend" },
  waitedMs: {
    name: "webccl_call_waited_milliseconds_total",
    help: "Milliseconds for which calls waited for earlier ones",
  },
};

const OF_GROUPS = {
  running: { name: "webccl_running_calls", help: "Calls that run" },
  runningBytes: { name: "webccl_running_bytes", help: "Bytes of the tensors of calls that run" },
  upMs: { name: "webccl_group_up_milliseconds", help: "Milliseconds since the group was made" },
};

const OF_LIVES = { dead: { name: "webccl_group_dead", help: "1 if the group is dead" } };

/** The page `/metrics`. */
export function metricsOf(dump: TraceDump): Promise<MetricsPage> {
  const figures = new Figures();
  const ofGroup = figures.of(OF_GROUPS, ["group", "rank"]);
  const ofPeer = figures.of(OF_PEERS, ["group", "rank", "peer"]);
  const ofCollective = figures.of(OF_COLLECTIVES, ["group", "rank", "collective"]);
  const ofLife = figures.of(OF_LIVES, ["group", "rank"]);
  for (const group of dump.groups.filter(({ left }) => !left)) {
    const labels = { group: group.name, rank: String(group.rank) };
    ofGroup(labels, group.stats);
    ofLife(labels, { dead: group.dead ? 1 : 0 });
    for (const peer of group.stats.peers) ofPeer({ ...labels, peer: String(peer.rank) }, peer);
    for (const one of group.stats.collectives) ofCollective({ ...labels, collective: one.collective }, one);
  }
  return figures.page();
}

/** Metrics: the stats of a job's groups as Prometheus reads them. Loaded when they are asked for. */
import { Gauge, Registry } from "prom-client";
import type { TraceDump } from "../../group/trace/dump.ts";

/** A metric of a group, and of each peer or collective of it. */
interface Metric {
  readonly name: string;
  readonly help: string;
}

const OF_PEERS: Readonly<Record<string, Metric>> = {
  sentBytes: { name: "webccl_peer_sent_bytes_total", help: "Bytes of messages sent to a peer" },
  sentMessages: { name: "webccl_peer_sent_messages_total", help: "Messages sent to a peer" },
  receivedBytes: { name: "webccl_peer_received_bytes_total", help: "Bytes of messages received from a peer" },
  receivedMessages: { name: "webccl_peer_received_messages_total", help: "Messages received from a peer" },
  waitedMs: { name: "webccl_peer_waited_milliseconds_total", help: "Milliseconds for which calls waited for a peer" },
  inFlightBytes: { name: "webccl_peer_in_flight_bytes", help: "Bytes on the way to a peer" },
};

const OF_COLLECTIVES: Readonly<Record<string, Metric>> = {
  calls: { name: "webccl_calls_total", help: "Calls that have ended" },
  failed: { name: "webccl_failed_calls_total", help: "Calls that have rejected" },
  bytes: { name: "webccl_call_bytes_total", help: "Bytes of the tensors of calls" },
  activeMs: { name: "webccl_call_active_milliseconds_total", help: "Milliseconds of calls in the backend" },
  waitedMs: {
    name: "webccl_call_waited_milliseconds_total",
    help: "Milliseconds for which calls waited for earlier ones",
  },
};

const OF_GROUPS: Readonly<Record<string, Metric>> = {
  running: { name: "webccl_running_calls", help: "Calls that run" },
  runningBytes: { name: "webccl_running_bytes", help: "Bytes of the tensors of calls that run" },
  upMs: { name: "webccl_group_up_milliseconds", help: "Milliseconds since the group was made" },
};

/** The page `/metrics`. */
export async function metricsOf(dump: TraceDump): Promise<{ status: number; type: string; body: string }> {
  const registry = new Registry();
  const set = (metrics: Readonly<Record<string, Metric>>, labelNames: string[]) => {
    const gauges = new Map(
      Object.entries(metrics).map(([field, { name, help }]) => [
        field,
        new Gauge({ name, help, labelNames, registers: [registry] }),
      ]),
    );
    return (labels: Record<string, string>, values: object) => {
      for (const [field, gauge] of gauges) gauge.set(labels, (values as Record<string, number>)[field] ?? 0);
    };
  };
  const ofGroup = set(OF_GROUPS, ["group", "rank"]);
  const ofPeer = set(OF_PEERS, ["group", "rank", "peer"]);
  const ofCollective = set(OF_COLLECTIVES, ["group", "rank", "collective"]);
  const dead = new Gauge({
    ...{ name: "webccl_group_dead", help: "1 if the group is dead", labelNames: ["group", "rank"] },
    registers: [registry],
  });
  for (const group of dump.groups.filter(({ left }) => !left)) {
    const labels = { group: group.name, rank: String(group.rank) };
    ofGroup(labels, group.stats);
    dead.set(labels, group.dead ? 1 : 0);
    for (const peer of group.stats.peers) ofPeer({ ...labels, peer: String(peer.rank) }, peer);
    for (const one of group.stats.collectives) ofCollective({ ...labels, collective: one.collective }, one);
  }
  return { status: 200, type: registry.contentType, body: await registry.metrics() };
}

/** Metrics of a hub: its stats of the moment, and counts of what has happened there. */
import { type HubEvent, REFUSALS, type Refusal } from "../../hub/events.ts";
import type { HubServerStats } from "../hub.ts";
import { Figures, type MetricsPage } from "./figures.ts";

const NOW = {
  rooms: { name: "webccl_hub_groups", help: "Groups and stores that are here" },
  members: { name: "webccl_hub_members", help: "Ranks and clients of stores that are here" },
  pendingConnections: { name: "webccl_hub_pending_connections", help: "Connections that have proved nothing yet" },
  bytesInFlight: { name: "webccl_hub_in_flight_bytes", help: "Bytes that wait in the hub" },
  bytesKept: { name: "webccl_hub_kept_bytes", help: "Bytes of all that is kept for members, those that wait too" },
  droppedFrames: { name: "webccl_hub_dropped_frames_total", help: "Frames that belonged nowhere" },
  usedTickets: {
    name: "webccl_hub_used_tickets",
    help: "Used tickets that have not expired yet, or are not dropped yet",
  },
};

const OF_PROCESS = {
  upSeconds: { name: "webccl_hub_up_seconds", help: "Seconds since the hub was started" },
  rss: { name: "webccl_hub_resident_memory_bytes", help: "Resident memory of the process" },
  cpuSeconds: { name: "webccl_hub_cpu_seconds_total", help: "User and system time of the process" },
};

const SO_FAR = {
  joined: { name: "webccl_hub_joined_total", help: "Ranks and clients of stores that were let in" },
  left: { name: "webccl_hub_left_total", help: "Members that said goodbye" },
  lost: { name: "webccl_hub_lost_total", help: "Members whose connection closed without a goodbye, evicted ones too" },
};

const REFUSED = { count: { name: "webccl_hub_refused_total", help: "Newcomers that were refused, by kind" } };
const EVICTED = { count: { name: "webccl_hub_evicted_total", help: "Members that were evicted, by close code" } };

/** Counts what happens at a hub. */
export class HubMetrics {
  readonly #counts = { joined: 0, left: 0, lost: 0 };
  readonly #refused = new Map<Refusal, number>(REFUSALS.map((kind) => [kind, 0]));
  readonly #evicted = new Map<number, number>([1001, 1002, 1008, 1009, 1011].map((code) => [code, 0]));

  count(event: HubEvent): void {
    if (event.event === "refused") increment(this.#refused, event.kind);
    else if (event.event === "evicted") increment(this.#evicted, event.code);
    else if (event.event !== "warning") this.#counts[event.event]++;
  }

  /** The page `/metrics`. */
  page(stats: HubServerStats): Promise<MetricsPage> {
    const figures = new Figures();
    figures.of(NOW)({}, { ...stats });
    figures.of(SO_FAR)({}, this.#counts);
    const { user, system } = process.cpuUsage();
    const { rss } = process.memoryUsage();
    figures.of(OF_PROCESS)({}, { upSeconds: process.uptime(), rss, cpuSeconds: (user + system) / 1e6 });
    const ofRefused = figures.of(REFUSED, ["kind"]);
    for (const [kind, count] of this.#refused) ofRefused({ kind }, { count });
    const ofEvicted = figures.of(EVICTED, ["code"]);
    for (const [code, count] of this.#evicted) ofEvicted({ code: String(code) }, { count });
    return figures.page();
  }
}

function increment<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

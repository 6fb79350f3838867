/** Schedule: all that distinguishes one simulated run from others: how many ranks meet where, what they do, and what goes wrong. */
import { SeededRandom } from "../../support/seeded-random.ts";
import type { Ending } from "../simulated-process.ts";

/**
 * Where the ranks meet, and how they are joined.
 * - hosted: at the hub that rank 0 hosts, with direct links
 * - hub: at a hub of its own, with direct links
 * - tabs: at a hub of its own, which relays everything
 * - mixed: at a hub of its own; the lower half has direct links
 * - memory: in one process
 */
export type Topology = "hosted" | "hub" | "tabs" | "mixed" | "memory";

/** When a fault happens: before a process gets its n-th event. */
interface At {
  /** "rank 2", "hub". */
  readonly where: string;
  readonly event: number;
}

/** Something that goes wrong. */
export type Fault =
  /** The process ends. */
  | ({ readonly kind: "crash"; readonly ending: Ending } & At)
  /** Nothing is delivered to the process for a while. */
  | ({ readonly kind: "pause"; readonly ms: number } & At)
  /** Its time of day is set anew. */
  | ({ readonly kind: "jump"; readonly ms: number } & At)
  /** The hub's program ends and is started again, after so long, with an empty store. */
  | ({ readonly kind: "restart"; readonly ms: number } & At)
  /** Its connections with `other` end, and both ends are told. */
  | ({ readonly kind: "cut"; readonly other: string } & At)
  /** What it sends to `other` is lost from now on, and nobody is told; with `both`, what it gets from there is lost, too. */
  | ({ readonly kind: "half-open"; readonly other: string; readonly both: boolean } & At)
  /** What it sends to `other` waits for a while. */
  | ({ readonly kind: "stall"; readonly other: string; readonly ms: number } & At)
  /** One bit changes, in this byte of what it sends to `other`. */
  | { readonly kind: "flip"; readonly where: string; readonly other: string; readonly byte: number }
  /** What it sends to `other` takes longer, and so comes behind what others send. */
  | { readonly kind: "delay"; readonly where: string; readonly other: string; readonly ms: number }
  /** What it sends to `other` has so many bytes a millisecond. */
  | { readonly kind: "throttle"; readonly where: string; readonly other: string; readonly bytesPerMs: number }
  /** It reads so many bytes a millisecond of each connection. */
  | { readonly kind: "slow-reader"; readonly where: string; readonly bytesPerMs: number };

/** See the file's head. */
export interface Schedule {
  readonly seed: number;
  readonly topology: Topology;
  readonly ranks: number;
  /** Calls of the program. */
  readonly calls: number;
  readonly latencyMs: number;
  readonly timeoutMs: number;
  readonly peerTimeoutMs: number;
  /** How a rank goes whose call has failed: it leaves the group, or its process ends. */
  readonly leaves: "destroy" | "exit";
  readonly faults: readonly Fault[];
  /** So many ranks join later, and all go on after a loss. Absent: the first call that fails is the end of a rank's program. */
  readonly joins?: number;
  /** All processes are on one machine: they can tell whether others live, and their connections close where one ends. */
  readonly isOneMachine?: boolean;
}

const TOPOLOGIES = ["hosted", "hosted", "hub", "tabs", "mixed", "memory"] as const;
const DURATIONS_MS = [5, 60, 400, 2_500, 9_000, 40_000];
/** In so many schedules in which ranks go on after a loss, their hub is started again. */
const RESTART_IN = 3;
/** In so many of those in which rank 0 hosts the hub, all are on one machine, and rank 0 is stopped for a while. */
const STOPPED_IN = 3;
const MINUTE_MS = 60_000;
const KINDS = [
  ...["crash", "crash", "crash", "crash", "cut", "half-open", "half-open", "pause", "pause"],
  ...["stall", "flip", "flip", "jump", "delay", "throttle", "slow-reader"],
] as readonly Exclude<Fault["kind"], "restart">[];

/** The schedule of a seed. */
export function drawSchedule(seed: number): Schedule {
  const random = new SeededRandom(seed, "schedule");
  const topology = random.pick(TOPOLOGIES);
  const ranks = random.pick([2, 2, 3, 3, 3, 4, 4, 5, 8]);
  const places = Array.from({ length: ranks }, (_, rank) => `rank ${rank}`);
  if (topology !== "hosted" && topology !== "memory") places.push("hub");
  const count = random.pick([0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 4]);
  const membership = new SeededRandom(seed, "membership");
  const isElastic = topology !== "memory" && membership.below(4) === 0;
  const machine = new SeededRandom(seed, "machine");
  const isOneMachine = isElastic && topology === "hosted" && machine.below(STOPPED_IN) === 0;
  const restart = new SeededRandom(seed, "restart");
  const isRestarted = isElastic && topology !== "hosted" && restart.below(RESTART_IN) === 0;
  const restarts = isRestarted ? [drawRestart(restart)] : [];
  return {
    ...(isElastic ? { joins: membership.pick([0, 0, 1, 1, 2, 3]) } : {}),
    ...(isOneMachine ? { isOneMachine } : {}),
    seed,
    topology,
    ranks,
    calls: 1 + random.below(10),
    latencyMs: random.pick([0.1, 0.5, 2, 5, 20]),
    timeoutMs: random.pick([3_000, 10_000]),
    // Else connections are given up before a store can be told that the others have left it.
    peerTimeoutMs: isOneMachine ? MINUTE_MS : random.pick([1_500, 6_000]),
    leaves: random.pick(["destroy", "destroy", "exit"]),
    faults: isOneMachine
      ? drawStop(machine, places)
      : topology === "memory"
        ? []
        : [...Array.from({ length: count }, () => drawFault(random, places)), ...restarts],
  };
}

/** Rank 0 is stopped; in half of these schedules another rank dies. */
function drawStop(random: SeededRandom, places: readonly string[]): Fault[] {
  const ms = random.pick([2_500, 9_000, 40_000, 90_000]);
  const stop: Fault = { kind: "pause", where: "rank 0", event: 40 + random.below(200), ms };
  const where = random.pick(places.slice(1));
  const crash: Fault = { kind: "crash", where, event: 40 + random.below(400), ending: "exit" };
  return random.below(2) === 0 ? [stop] : [stop, crash];
}

function drawRestart(random: SeededRandom): Fault {
  return { kind: "restart", where: "hub", event: 1 + random.below(400), ms: random.pick(DURATIONS_MS) };
}

function drawFault(random: SeededRandom, places: readonly string[]): Fault {
  const where = random.pick(places);
  const other = random.pick(places.filter((place) => place !== where));
  // Half of all in the first events, where ranks meet.
  const event = 1 + random.below(random.pick([20, 60, 150, 150, 400]));
  const ms = random.pick(DURATIONS_MS);
  const kind = random.pick(KINDS);
  switch (kind) {
    case "crash":
      return { kind, where, event, ending: random.pick(["exit", "exit", "exit", "power"]) };
    case "pause":
      return { kind, where, event, ms };
    case "jump":
      return { kind, where, event, ms: random.pick([-1, 1]) * random.pick([50, 3_600_000]) };
    case "cut":
      return { kind, where, event, other };
    case "half-open":
      return { kind, where, event, other, both: random.below(2) === 0 };
    case "stall":
      return { kind, where, event, other, ms };
    case "flip":
      return { kind, where, other, byte: random.below(random.pick([300, 3_000, 30_000])) };
    case "delay":
      return { kind, where, other, ms: random.pick([20, 100, 300]) };
    case "throttle":
      return { kind, where, other, bytesPerMs: random.pick([50, 500]) };
    case "slow-reader":
      return { kind, where, bytesPerMs: random.pick([50, 500]) };
  }
}

/** The line by which a schedule can be run again. */
export function lineOf(schedule: Schedule): string {
  return JSON.stringify(schedule);
}

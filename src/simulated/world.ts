/** World: processes, a network between them and a clock, all of one seed. */
import type { Hub } from "../hub/hub.ts";
import type { SimulatedExecutors } from "./executors.ts";
import { Network } from "./network/network.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import { Trace } from "./trace.ts";
import { type ClockListener, VirtualClock } from "./virtual-clock.ts";

/** What a world is made of. */
export interface WorldOptions extends ClockListener {
  readonly seed: number;
  readonly ranks: number;
  /** Of the fastest wire. */
  readonly latencyMs: number;
  readonly executors: SimulatedExecutors;
  /** Processes can tell whether others live. */
  readonly isOneMachine: boolean;
  /** Keeps a line for each event. */
  readonly keepsLines: boolean;
}

/** See the file's head. */
export class World {
  readonly clock: VirtualClock;
  readonly network: Network;
  readonly trace: Trace;
  readonly ranks: readonly SimulatedProcess[];
  /** The process of a hub that no rank hosts. */
  readonly hub: SimulatedProcess;
  readonly executors: SimulatedExecutors;
  readonly isOneMachine: boolean;
  /** The hub that a process hosts. */
  readonly hubs = new Map<SimulatedProcess, Hub>();

  constructor(options: WorldOptions) {
    const { seed, ranks, latencyMs, executors, keepsLines } = options;
    this.executors = executors;
    this.isOneMachine = options.isOneMachine;
    this.trace = new Trace(keepsLines);
    this.clock = new VirtualClock(seed, options, this.trace);
    this.ranks = Array.from({ length: ranks }, (_, rank) => new SimulatedProcess(seed, `rank ${rank}`, rank));
    this.hub = new SimulatedProcess(seed, "hub", ranks);
    this.network = new Network(this.clock, seed, latencyMs, [...this.ranks, this.hub]);
  }

  /** Of the ranks and the hub, by their names. */
  process(name: string): SimulatedProcess {
    const found = [...this.ranks, this.hub].find((process) => process.name === name);
    if (!found) throw new RangeError(`there is no process "${name}" in this world`);
    return found;
  }
}

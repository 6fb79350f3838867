/** Makes the faults of a schedule happen in a world. */

import type { SimulatedProcess } from "../simulated-process.ts";
import type { World } from "../world.ts";
import type { Fault, Schedule } from "./schedule.ts";

/** A connection is looked at four times per peer timeout: it may have begun to be silent right after a look. */
const TICK = 0.5;
/** How long a handshake may take. */
const HELLO_MS = 5_000;
/** The delays of pings, and of timers. */
const NOTICE_SLACK_MS = 1_000;

/** See the file's head. */
export class Faults {
  /** Those that have had their chance: a crash at an event that never came is not among them. */
  readonly happened: Fault[] = [];
  readonly #world: World;
  readonly #coming: Fault[];
  /** Within this time a connection that is lost must be noticed. */
  readonly #noticeMs: number;

  readonly #restartHub: (afterMs: number) => void;

  /** `restartHub` ends the hub's program, and starts it again `afterMs` later. */
  constructor(world: World, { faults, peerTimeoutMs }: Schedule, restartHub: (afterMs: number) => void) {
    this.#world = world;
    this.#restartHub = restartHub;
    this.#noticeMs = Math.max((1 + TICK) * peerTimeoutMs, HELLO_MS) + NOTICE_SLACK_MS;
    this.#coming = faults.filter((fault) => "event" in fault);
    for (const fault of faults) if (!("event" in fault)) this.begin(fault);
  }

  /** `process` is about to get an event; true if it does not any more. */
  onDeliver(process: SimulatedProcess): boolean {
    for (const fault of [...this.#coming]) {
      if (!("event" in fault) || fault.where !== process.name || fault.event !== process.events) continue;
      this.#coming.splice(this.#coming.indexOf(fault), 1);
      this.begin(fault);
    }
    return process.ended !== null;
  }

  /** It happens now. */
  begin(fault: Fault): void {
    const { clock, network, trace } = this.#world;
    const process = this.#world.process(fault.where);
    if (process.ended) return;
    this.happened.push(fault);
    trace.add(clock.time, process.name, "fault", JSON.stringify(fault));
    switch (fault.kind) {
      case "crash":
        network.end(process, fault.ending);
        return;
      case "pause":
        process.pausedUntil = Math.max(process.pausedUntil, clock.time + fault.ms);
        process.pausedMs += fault.ms;
        return;
      case "jump":
        process.wallShiftMs += fault.ms;
        return;
      case "restart":
        this.#restartHub(fault.ms);
        return;
      case "slow-reader":
        for (const from of [...this.#world.ranks, this.#world.hub]) {
          if (from !== process) network.wire(from, process).bytesPerMs = fault.bytesPerMs;
        }
        return;
      default:
        this.#beginBetween(fault, process, this.#world.process(fault.other));
    }
  }

  #beginBetween(fault: Extract<Fault, { other: string }>, process: SimulatedProcess, other: SimulatedProcess): void {
    const { clock, network } = this.#world;
    const wire = network.wire(process, other);
    switch (fault.kind) {
      case "cut":
        network.cut(process, other);
        return;
      case "half-open":
        network.lose(process, other, this.#noticeMs);
        if (fault.both) network.lose(other, process, this.#noticeMs);
        return;
      case "stall":
        wire.stalledUntil = Math.max(wire.stalledUntil, clock.time + fault.ms);
        return;
      case "flip":
        wire.flips.add(fault.byte);
        return;
      case "delay":
        wire.latencyMs += fault.ms;
        return;
      case "throttle":
        wire.bytesPerMs = fault.bytesPerMs;
    }
  }
}

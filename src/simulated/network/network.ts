/** Network: the machines of a world, the ports that are open on them, and the connections between them. */
import { SeededRandom } from "../../support/seeded-random.ts";
import type { Ending, SimulatedProcess } from "../simulated-process.ts";
import type { VirtualClock } from "../virtual-clock.ts";
import { SimulatedConnection } from "./connection.ts";
import { Wire } from "./wire.ts";

/** The latency within one machine, in milliseconds. */
const LOOPBACK_MS = 0.05;
/** How long a system takes to close the connections of a process that has died, at most. */
const CLOSE_MS = 2;
/** The first port that is given to whoever asks for none. */
const FIRST_FREE_PORT = 49_152;

/** An open port. */
export interface Port {
  readonly owner: SimulatedProcess;
  readonly host: string;
  readonly port: number;
  readonly accept: (connection: SimulatedConnection) => void;
}

/** See the file's head. */
export class Network {
  readonly #clock: VirtualClock;
  readonly #seed: number;
  readonly #latencyMs: number;
  readonly #processes: readonly SimulatedProcess[];
  readonly #wires = new Map<number, Wire>();
  readonly #ports = new Map<string, Port>();
  readonly #connections = new Set<SimulatedConnection>();
  /** Ends of connections that were lost, and were open for too long after that. */
  readonly unnoticed: string[] = [];
  #lastPort = FIRST_FREE_PORT;

  /** `latencyMs` is that of the fastest wire between two machines. */
  constructor(clock: VirtualClock, seed: number, latencyMs: number, processes: readonly SimulatedProcess[]) {
    this.#clock = clock;
    this.#seed = seed;
    this.#latencyMs = latencyMs;
    this.#processes = processes;
  }

  /** The way from one process to another. */
  wire(from: SimulatedProcess, to: SimulatedProcess): Wire {
    const key = from.index * 1_024 + to.index;
    let wire = this.#wires.get(key);
    if (!wire) {
      const random = new SeededRandom(this.#seed, "wire", from.name, to.name);
      const latencyMs = from === to ? LOOPBACK_MS : this.#latencyMs * (1 + random.below(300) / 100);
      wire = new Wire(from, to, latencyMs, random);
      this.#wires.set(key, wire);
    }
    return wire;
  }

  /** @throws RangeError if the port is open already. */
  listen(
    owner: SimulatedProcess,
    host: string,
    wanted: number,
    accept: (connection: SimulatedConnection) => void,
  ): Port {
    const port = wanted === 0 ? this.#lastPort++ : wanted;
    const key = `${host}:${port}`;
    if (this.#ports.has(key)) throw new RangeError(`port ${port} on ${host} is already in use`);
    const open = { owner, host, port, accept };
    this.#ports.set(key, open);
    return open;
  }

  unlisten(port: Port): void {
    const key = `${port.host}:${port.port}`;
    if (this.#ports.get(key) === port) this.#ports.delete(key);
  }

  /** Tells the connection, or null if nobody listens there; nothing at all if nothing comes back. */
  connect(
    from: SimulatedProcess,
    host: string,
    port: number,
    told: (connection: SimulatedConnection | null) => void,
  ): void {
    const to = this.#processes.find((process) => process.host === host);
    if (!to) throw new RangeError(`${host} is no machine of this world`);
    const there = this.wire(from, to);
    const back = this.wire(to, from);
    const clock = this.#clock;
    const text = `${from.name} to ${host}:${port}`;
    // Systems do this, and not their processes.
    clock.schedule(null, clock.time + there.delayMs(), "connecting", text, () => {
      if (from.ended || there.isLost || to.ended === "power") return;
      const open = this.#ports.get(`${host}:${port}`);
      const answerAt = clock.time + back.delayMs();
      if (!open || to.ended) {
        clock.schedule(from, answerAt, "refused", text, () => told(null));
        return;
      }
      const [client, server] = SimulatedConnection.pair(clock, there, back);
      this.#keep(server);
      clock.schedule(to, clock.time, "accept", text, () => open.accept(server));
      clock.schedule(from, answerAt, "connected", text, () => {
        if (back.isLost) return;
        if (!client.destroyed) this.#keep(client);
        told(client.destroyed ? null : client);
      });
    });
  }

  /** Connections between two processes end, and both ends are told. */
  cut(a: SimulatedProcess, b: SimulatedProcess): void {
    for (const connection of this.#connections) {
      const { owner, other } = connection;
      if (!((owner === a && other === b) || (owner === b && other === a))) continue;
      const at = this.#clock.time + owner.random.below(1_000) / 1_000;
      this.#clock.schedule(owner, at, "cut", `from ${other.name}`, () => connection.fail());
    }
  }

  /** What is sent from `from` to `to` is lost from now on. Both ends of their connections must notice within `limitMs`. */
  lose(from: SimulatedProcess, to: SimulatedProcess, limitMs: number): void {
    const { time } = this.#clock;
    const wire = this.wire(from, to);
    wire.lostAt = Math.min(wire.lostAt, time);
    const ends = [...this.#connections].filter(({ owner, other }) =>
      [from, to].every((process) => process === owner || process === other),
    );
    this.#clock.schedule(null, time + limitMs, "look", `${from.name} to ${to.name}`, () => {
      // Where the other direction was lost later, what told of this one may have been.
      const { lostAt } = this.wire(to, from);
      if (lostAt > time && lostAt < Number.POSITIVE_INFINITY) return;
      for (const end of ends) {
        const isWatched = !end.isPaused() && !end.owner.ended && end.owner.pausedUntil < time;
        if (this.#connections.has(end) && isWatched) this.unnoticed.push(`${end.owner.name} from ${end.other.name}`);
      }
    });
  }

  /** A process is gone. */
  end(process: SimulatedProcess, ending: Ending): void {
    process.ended = ending;
    for (const port of [...this.#ports.values()]) if (port.owner === process) this.unlisten(port);
    for (const connection of [...this.#connections]) {
      if (connection.owner !== process) continue;
      this.#connections.delete(connection);
      if (ending === "exit") {
        const at = this.#clock.time + process.random.below(CLOSE_MS * 1_000) / 1_000;
        this.#clock.schedule(null, at, "abandon", process.name, () => connection.abandon());
      }
    }
    if (ending === "exit") return;
    for (const other of this.#processes) {
      this.wire(process, other).lostAt = this.#clock.time;
      this.wire(other, process).lostAt = this.#clock.time;
    }
  }

  /** What processes that live have left open. */
  open(): { ports: string[]; connections: string[] } {
    return {
      ports: [...this.#ports.values()].map(({ owner, port }) => `${owner.name} listens at ${port}`),
      connections: [...this.#connections].map(({ owner, other }) => `${owner.name} is connected to ${other.name}`),
    };
  }

  /** Bytes that connections of `process` hold. */
  heldBytes(process: SimulatedProcess): number {
    let sum = 0;
    for (const connection of this.#connections) if (connection.owner === process) sum += connection.heldBytes;
    return sum;
  }

  #keep(connection: SimulatedConnection): void {
    this.#connections.add(connection);
    connection.once("close", () => this.#connections.delete(connection));
  }
}

/**
 * Ranks as tasks of one process, over an exchange that can be as eager, as reluctant and as disorderly as the contract
 * allows, and the cpu executor, with scratch spoiled before it is lent and after it is given back.
 */

import type { Context } from "../../src/algorithm/context.ts";
import { createCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import type { Executor, HostExecutor, Lease, Span } from "../../src/executor/executor.ts";
import { Fold, type FoldRule } from "../../src/hub/fold.ts";
import type { Exchange, HubReduction, Payload, Traffic } from "../../src/link/link.ts";
import { FragmentsPayload } from "../../src/link/payload/fragments.ts";
import type { ReduceOp } from "../../src/reduce-op.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";
import type { DataType } from "../../src/types.ts";
import { memoryExchanges } from "./memory-exchanges.ts";
import { SimulatedAreas } from "./simulated-areas.ts";

/**
 * "eager": a send is done at once. "rendezvous": a send is done when its message has been received.
 * "shuffled": the same, and what is ready to be delivered is delivered in random order.
 * "memory": no simulation, but the memory transport.
 */
export type Delivery = "eager" | "rendezvous" | "shuffled" | "memory";

export interface SimulationOptions {
  size: number;
  segmentBytes: number;
  segmentsInFlight?: number;
  delivery?: Delivery;
  seed?: number;
  /** What the hub folds with. */
  rule?: FoldRule;
}

/** Which ranks are linked directly where some are: those whose numbers leave 0, and those that leave 1, when divided by 3. */
export function clustersOf(size: number): number[][] {
  const ranks = Array.from({ length: size }, (_, rank) => rank);
  const clusters = [ranks.filter((rank) => rank % 3 === 0), ranks.filter((rank) => rank % 3 === 1)];
  return [...clusters, ...ranks.filter((rank) => rank % 3 === 2).map((rank) => [rank])].filter(
    ({ length }) => length > 0,
  );
}

/** What a simulation left behind. */
export interface Outcome {
  traffic: Traffic[];
  longestMessage: number;
  /** Steps that the ranks made in their areas. */
  steps: number;
  /** The most bytes of scratch that each rank had at once. */
  mostScratchBytes: number[];
}

/** Bytes of a rank's area: for each rank a segment, of whole lines of 64, but of 1 KiB at most. */
export function areaBytesOf({ size, segmentBytes }: Pick<SimulationOptions, "size" | "segmentBytes">): number {
  return 64 * size * Math.ceil(Math.min(1024, segmentBytes) / 64);
}

/**
 * Runs `program` on every rank to its end.
 * @throws Error if the ranks wait for each other, a message is never received, a length differs, or scratch is not given back.
 */
export async function simulate(
  options: SimulationOptions,
  program: (context: Context, executor: WatchedExecutor) => Promise<void>,
): Promise<Outcome> {
  const network = new Network(options);
  const memory = options.delivery === "memory" ? memoryExchanges(options.size) : null;
  const executors = Array.from({ length: options.size }, () => new WatchedExecutor());
  const hosts = executors.map(() => new WatchedHostExecutor());
  const areas = new SimulatedAreas(areaBytesOf(options), network.traffic, (goOn) => network.soon(goOn));
  const ranks = executors.map((executor, rank) =>
    program(
      {
        rank,
        size: options.size,
        executor,
        exchange: memory ? memory.exchanges[rank]! : network.exchange(rank),
        hub: network.hub(rank),
        region: areas.of(rank, hosts[rank]!),
        segmentBytes: options.segmentBytes,
        segmentsInFlight: options.segmentsInFlight ?? 2,
      },
      executor,
    ),
  );
  if (memory) await Promise.all(ranks);
  else await network.deliver(Promise.all(ranks));
  network.assertEmpty();
  for (const executor of [...executors, ...hosts]) executor.assertNothingLent();
  const mostScratchBytes = executors.map((executor) => executor.mostScratchBytes);
  const { steps } = areas;
  if (memory) {
    memory.close();
    const traffic = memory.exchanges.map((exchange) => ({ ...exchange.traffic }));
    return { traffic, longestMessage: Number.NaN, steps, mostScratchBytes };
  }
  return { traffic: network.traffic, longestMessage: network.longestMessage, steps, mostScratchBytes };
}

interface Posted {
  bytes: Uint8Array;
  done: () => void;
}

interface Lane {
  name: string;
  sends: Posted[];
  receives: Posted[];
}

class Network {
  readonly traffic: Traffic[];
  longestMessage = 0;
  readonly #eager: boolean;
  readonly #random: SeededRandom | null;
  readonly #lanes = new Map<number, Lane>();
  readonly #ready: (() => void)[] = [];
  readonly #slots = new Map<number, { fold: Fold<Payload>; answer: ((result: Uint8Array | null) => void)[] }>();
  readonly #rule: FoldRule | null;
  readonly #size: number;

  constructor({ size, delivery = "rendezvous", seed = 1, rule }: SimulationOptions) {
    this.#size = size;
    this.#rule = rule ?? null;
    this.#eager = delivery === "eager";
    this.#random = delivery === "shuffled" ? new SeededRandom(seed, size) : null;
    this.traffic = Array.from({ length: size }, () => ({
      messagesSent: 0,
      messagesReceived: 0,
      bytesSent: 0,
      bytesReceived: 0,
    }));
  }

  exchange(rank: number): Exchange {
    const traffic = this.traffic[rank]!;
    return {
      traffic,
      error: null,
      takesHandles: () => false,
      sendHandle: () => Promise.reject(new Error("these messages have bytes")),
      send: (peer, bytes, slot) => {
        traffic.messagesSent++;
        traffic.bytesSent += bytes.byteLength;
        this.longestMessage = Math.max(this.longestMessage, bytes.byteLength);
        const lane = this.#lane(rank, peer, slot);
        return new Promise((done) => {
          if (this.#eager) done();
          lane.sends.push({ bytes: this.#eager ? bytes.slice() : bytes, done });
          this.#match(lane, lane.receives.length >= lane.sends.length);
        });
      },
      recv: (peer, into, slot) => {
        const lane = this.#lane(peer, rank, slot);
        return new Promise((resolve) => {
          const done = () => {
            traffic.messagesReceived++;
            traffic.bytesReceived += into.byteLength;
            resolve();
          };
          lane.receives.push({ bytes: into, done });
          this.#match(lane, lane.sends.length >= lane.receives.length);
        });
      },
    };
  }

  /** What `rank` has of a hub that folds. */
  hub(rank: number): HubReduction {
    const traffic = this.traffic[rank]!;
    return {
      clusters: clustersOf(this.#size),
      combine: (number, part, into) => {
        traffic.messagesSent++;
        traffic.bytesSent += part?.byteLength ?? 0;
        this.longestMessage = Math.max(this.longestMessage, part?.byteLength ?? 0);
        let slot = this.#slots.get(number);
        if (!slot) {
          slot = { fold: new Fold(cpu, this.#rule, this.#size), answer: [] };
          this.#slots.set(number, slot);
        }
        const { fold, answer } = slot;
        return new Promise((resolve, reject) => {
          answer.push((result) => {
            traffic.messagesReceived++;
            if (into) {
              if (result?.byteLength !== into.byteLength) reject(new Error("a result of another length"));
              else into.set(result);
              traffic.bytesReceived += into.byteLength;
            }
            resolve();
          });
          if (!fold.add(rank, part && new FragmentsPayload([part.slice()]))) throw new Error("a part does not fit");
          if (fold.isComplete) this.#ready.push(() => this.#answer(number));
        });
      },
    };
  }

  #answer(number: number): void {
    const { fold, answer } = this.#slots.get(number)!;
    this.#slots.delete(number);
    const result = fold.result();
    const bytes = result === null ? null : "folded" in result ? result.folded : new Uint8Array(result.only.byteLength);
    if (result && "only" in result) result.only.copyTo(bytes!);
    for (const tell of answer) tell(bytes);
    fold.dispose();
  }

  /** Runs `body` as it delivers a message. */
  soon(body: () => void): void {
    this.#ready.push(body);
  }

  /** Delivers until `finished`, a few messages per turn of the event loop, so that the ranks' tasks interleave. */
  async deliver(finished: Promise<unknown>): Promise<void> {
    let over = false;
    finished.then(
      () => (over = true),
      () => (over = true),
    );
    for (let idleTurns = 0; idleTurns < 3; idleTurns++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (over) return void (await finished);
      for (let i = this.#random ? 1 + this.#random.below(this.#ready.length + 1) : Infinity; i > 0; i--) {
        const at = this.#random && this.#ready.length > 0 ? this.#random.below(this.#ready.length) : 0;
        const [next] = this.#ready.splice(at, 1);
        if (!next) break;
        next();
        idleTurns = 0;
      }
    }
    throw new Error(`the ranks wait for each other: ${this.#open().join("; ")}`);
  }

  assertEmpty(): void {
    const open = this.#open();
    if (open.length > 0) throw new Error(`messages were left over: ${open.join("; ")}`);
  }

  #match(lane: Lane, met: boolean): void {
    if (!met) return;
    this.#ready.push(() => {
      const sent = lane.sends.shift()!;
      const received = lane.receives.shift()!;
      if (sent.bytes.byteLength !== received.bytes.byteLength) {
        throw new Error(`${sent.bytes.byteLength} bytes were sent and ${received.bytes.byteLength} expected`);
      }
      received.bytes.set(sent.bytes);
      received.done();
      sent.done();
    });
  }

  #lane(from: number, to: number, slot: number): Lane {
    const key = (slot * this.#size + from) * this.#size + to;
    let lane = this.#lanes.get(key);
    if (!lane) {
      lane = { name: `${from} to ${to} in slot ${slot}`, sends: [], receives: [] };
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  #open(): string[] {
    const slots = [...this.#slots.keys()].map((slot) => `slot ${slot} at the hub`);
    return [...this.#lanes.values()]
      .filter(({ sends, receives }) => sends.length + receives.length > 0)
      .map(({ name, sends, receives }) => `${name}: ${sends.length} sent, ${receives.length} awaited`)
      .concat(slots);
  }
}

const SPOILED = 0xa5;
const cpu = await createCpuExecutor();
await cpu.loadRareLoops();

/** One rank's view of the cpu executor: it moves bytes only later, as a GPU's would, and keeps an eye on scratch. */
export class WatchedExecutor implements Executor {
  readonly name = cpu.name;
  readonly handleMemory = null;
  readonly memoryKind = "host";
  readonly arithmeticId = cpu.arithmeticId;
  readonly description = cpu.description;
  readonly #lent = new Set<Span>();
  mostScratchBytes = 0;

  scratch(dtype: DataType, count: number): Span {
    const scratch = cpu.scratch(dtype, count);
    cpu.receive(scratch).bytes.fill(SPOILED);
    this.#lent.add(scratch);
    const bytes = [...this.#lent].reduce((total, { byteLength }) => total + byteLength, 0);
    this.mostScratchBytes = Math.max(this.mostScratchBytes, bytes);
    return scratch;
  }
  release(scratch: Span): void {
    if (!this.#lent.delete(scratch)) throw new Error("what is given back was not lent");
    cpu.receive(scratch).bytes.fill(SPOILED);
    cpu.release(scratch);
  }
  assertNothingLent(): void {
    if (this.#lent.size > 0) throw new Error(`${this.#lent.size} spans of scratch were not given back`);
  }

  prepared(op: ReduceOp, input: Span, size: number): Span {
    const copy = this.scratch(input.dtype, input.count);
    cpu.copy(copy, input);
    return cpu.prepare(op, copy, size);
  }

  read(span: Span): Lease | Promise<Lease> {
    return Promise.resolve(cpu.read(span));
  }
  receive(span: Span): Lease {
    return { bytes: new Uint8Array(span.byteLength), release: () => {} };
  }
  write(span: Span, lease: Lease): void | Promise<void> {
    return Promise.resolve().then(() => cpu.write(span, lease));
  }

  span = cpu.span.bind(cpu);
  slice = cpu.slice.bind(cpu);
  alloc = cpu.alloc.bind(cpu);
  copy = cpu.copy.bind(cpu);
  packing = cpu.packing.bind(cpu);
  admit = cpu.admit.bind(cpu);
  reduce = cpu.reduce.bind(cpu);
  reduceMany = cpu.reduceMany.bind(cpu);
  prepare = cpu.prepare.bind(cpu);
  finish = cpu.finish.bind(cpu);
  fill = cpu.fill.bind(cpu);
  settled = cpu.settled.bind(cpu);
  async dispose(): Promise<void> {}
}

/** The same with all bytes at hand, as tensors in host memory have them. */
class WatchedHostExecutor extends WatchedExecutor implements HostExecutor {
  loadRareLoops = cpu.loadRareLoops.bind(cpu);
  override read(span: Span): Lease {
    return cpu.read(span);
  }
  override write(span: Span, lease: Lease): void {
    cpu.write(span, lease);
  }
  openChecksums = cpu.openChecksums.bind(cpu);
}

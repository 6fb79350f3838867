/**
 * Virtual clock: the time, the timers and the event loop of a simulated world.
 *
 * Everything that happens is an event of one queue, ordered by its virtual time; events of one time are in an order of the
 * seed among processes, and in the order of their making within one. An event runs to its end with all the promises that it
 * settles before the next one begins, so equal seeds give equal runs. Between two events no virtual time passes.
 *
 * While a world runs, the functions of the runtime by which the library (`support/clock.ts`, `wire/hash.ts`) reads the time,
 * sets timers, draws random bytes and hashes are those of this clock. So the library has no switch for it, and pays nothing.
 * Real work that ends at a time of its own would come at another point in each run: modules are loaded before
 * (`warm-up.ts`), and hashes are made by code that does not wait.
 */
import type { SimulatedProcess } from "./simulated-process.ts";
import type { Trace } from "./trace.ts";

/** The time of day at which every world begins, in milliseconds since 1970. */
const WALL_START_MS = 1_700_000_000_000;

/** Something that will happen. */
export interface VirtualEvent {
  time: number;
  /** Orders events of one time. */
  key: number;
  order: number;
  /** Where it happens; null if in the world as a whole. */
  readonly process: SimulatedProcess | null;
  readonly kind: string;
  readonly detail: string;
  readonly run: () => void;
  isOver: boolean;
}

/** What a clock tells. */
export interface ClockListener {
  /** `process` is about to get `event`; true if it does not any more. */
  onDeliver(process: SimulatedProcess, event: VirtualEvent): boolean;
  /** An event threw, or a promise that nobody looks at was rejected. */
  onThrown(error: unknown, process: SimulatedProcess | null): void;
}

const { setImmediate: afterThis } = globalThis;

/** See the file's head. */
export class VirtualClock {
  /** Milliseconds since the world began. */
  time = 0;
  /** The process that runs. */
  current: SimulatedProcess | null = null;
  /** Events that have happened. */
  count = 0;
  readonly #seed: number;
  readonly #listener: ClockListener;
  readonly #trace: Trace;
  readonly #heap: VirtualEvent[] = [];
  #made = 0;

  constructor(seed: number, listener: ClockListener, trace: Trace) {
    this.#seed = seed;
    this.#listener = listener;
    this.#trace = trace;
  }

  /** `run` happens in `process` at `time`, or now if that has passed. */
  schedule(process: SimulatedProcess | null, time: number, kind: string, detail: string, run: () => void) {
    const event = { time: 0, key: 0, order: 0, process, kind, detail, run, isOver: false };
    this.#enqueue(event, Math.max(time, this.time));
    return event;
  }

  /** Events that have not happened, in processes that live. */
  pending(): VirtualEvent[] {
    return this.#heap.filter(({ isOver, process }) => !isOver && !process?.ended);
  }

  /** Lets everything happen that happens before `horizonMs`; ends early when `isDone` says so after an event. */
  async run(horizonMs: number, isDone: () => boolean = () => false): Promise<void> {
    const restore = this.#install();
    try {
      await new Promise<void>((resolve) => {
        const step = () => {
          const event = isDone() ? null : this.#next(horizonMs);
          if (!event) {
            resolve();
            return;
          }
          this.#happen(event);
          afterThis(step);
        };
        afterThis(step);
      });
    } finally {
      this.current = null;
      restore();
    }
  }

  /** The next event that a process gets. */
  #next(horizonMs: number): VirtualEvent | null {
    for (let event = this.#heap[0]; event; event = this.#heap[0]) {
      if (event.time > horizonMs) return null;
      this.#pop();
      const { process } = event;
      if (event.isOver || process?.ended) continue;
      this.time = event.time;
      if (process) {
        if (process.pausedUntil > event.time) {
          this.#enqueue(event, process.pausedUntil);
          continue;
        }
        process.events++;
        if (this.#listener.onDeliver(process, event)) continue;
      }
      return event;
    }
    return null;
  }

  #happen(event: VirtualEvent): void {
    const { process, kind, detail } = event;
    this.count++;
    event.isOver = true;
    this.current = process;
    this.#trace.add(this.time, process?.name ?? "world", kind, detail);
    try {
      event.run();
    } catch (error) {
      this.#listener.onThrown(error, process);
    }
  }

  /** Makes this clock that of the runtime; the function that it returns ends that. */
  #install(): () => void {
    const onRejection = (reason: unknown) => this.#listener.onThrown(reason, this.current);
    process.on("unhandledRejection", onRejection);
    process.on("uncaughtException", onRejection);
    const replaced = [
      replace(performance, "now", () => this.time),
      replace(Date, "now", () => WALL_START_MS + this.time + (this.current?.wallShiftMs ?? 0)),
      replace(globalThis, "setTimeout", (fire: () => void, delayMs = 1) => this.#setTimeout(fire, delayMs)),
      replace(globalThis, "clearTimeout", (timer: { event: VirtualEvent } | null | undefined) => {
        if (timer) timer.event.isOver = true;
      }),
      replace(crypto, "getRandomValues", (bytes: Uint8Array) => this.#fill(bytes)),
      // The library then hashes by code of its own, which does not wait.
      replace(crypto, "subtle", undefined),
    ];
    return () => {
      process.off("unhandledRejection", onRejection);
      process.off("uncaughtException", onRejection);
      for (const restore of replaced) restore();
    };
  }

  /** As Node's: a delay is whole milliseconds, and a timer comes up to one late. */
  #setTimeout(fire: () => void, delayMs: number) {
    const { current } = this;
    const lateMs = (current?.random.below(1_000) ?? 0) / 1_000;
    const delay = Math.trunc(Math.max(delayMs, 1));
    const event: VirtualEvent = this.schedule(current, this.time + delay + lateMs, "timer", String(delay), fire);
    const timer = { event, unref: () => timer };
    return timer;
  }

  #fill(bytes: Uint8Array): Uint8Array {
    for (let at = 0; at < bytes.byteLength; at++) bytes[at] = this.current?.random.below(256) ?? 0;
    return bytes;
  }

  #enqueue(event: VirtualEvent, time: number): void {
    event.time = time;
    event.key = mix(this.#seed, event.process?.index ?? -1, Math.floor(time * 1_000));
    event.order = this.#made++;
    this.#push(event);
  }

  #push(event: VirtualEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent]!;
      if (!isBefore(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: VirtualEvent, b: VirtualEvent): boolean {
  if (a.time !== b.time) return a.time < b.time;
  return a.key !== b.key ? a.key < b.key : a.order < b.order;
}

/** Puts `value` in the place of a property; the function that it returns puts the old one back. */
function replace(target: object, name: string, value: unknown): () => void {
  const old = Object.getOwnPropertyDescriptor(target, name);
  Object.defineProperty(target, name, { value, configurable: true, writable: true });
  return () => {
    if (old) Object.defineProperty(target, name, old);
    else Reflect.deleteProperty(target, name);
  };
}

function mix(...numbers: readonly number[]): number {
  let value = 0x811c9dc5;
  for (const number of numbers) {
    value = Math.imul(value ^ (number | 0), 0x01000193);
    value ^= value >>> 15;
  }
  return value >>> 0;
}

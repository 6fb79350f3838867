/**
 * Memory transport: ranks that are tasks of one thread. A frame is handed over by reference and delivered in a later
 * microtask; the receiver copies straight from the sender's bytes, so a message costs one copy.
 *
 * `memory://name` names a job in the one process-wide registry. The knobs make it behave like a slow or choppy network.
 */

import { AdmissionError } from "../../errors.ts";
import type { Handle } from "../../executor/executor.ts";
import { sleep } from "../../support/clock.ts";
import type { HandleLink, Link, LinkReceiver, Payload } from "../link.ts";
import { BytesPayload } from "../payload/bytes-payload.ts";

/** How a memory link may be made worse, for tests. */
export interface MemoryKnobs {
  /** Milliseconds between sending and delivery. Default: none, delivery in the next microtask. */
  latencyMs?: number;
  /** Called before each delivery; may return a promise that holds it up. Order within a link is kept. */
  gate?: (from: number, to: number) => Promise<void> | undefined;
}

/** A message passed by reference. */
class HandlePayload implements Payload {
  readonly byteLength: number;
  readonly handle: Handle;

  constructor(handle: Handle) {
    this.handle = handle;
    this.byteLength = handle.byteLength;
  }

  copyTo(): never {
    throw new TypeError("a message passed by reference has no bytes here");
  }

  keep(): Payload {
    return this;
  }
}

const EMPTY = new BytesPayload(new Uint8Array(0));

interface Parcel {
  header: Uint8Array;
  payload: Payload;
  onSent: (() => void) | undefined;
}

/** One end of a link between two ranks of a job. */
export class MemoryLink implements HandleLink {
  readonly kind = "memory";
  #other: MemoryLink | null = null;
  #receiver: LinkReceiver | null = null;
  readonly #inbox: Parcel[] = [];
  #draining = false;
  #closing = false;
  readonly #hold: (() => Promise<void> | undefined) | null;

  private constructor(hold: (() => Promise<void> | undefined) | null) {
    this.#hold = hold;
  }

  /** Both ends of a link between ranks `a` and `b`. */
  static pair(a: number, b: number, knobs: MemoryKnobs): [MemoryLink, MemoryLink] {
    const holdFor = (from: number, to: number) => {
      const { latencyMs, gate } = knobs;
      if (!latencyMs && !gate) return null;
      return async () => {
        if (latencyMs) await sleep(latencyMs);
        await gate?.(from, to);
      };
    };
    const endOfA = new MemoryLink(holdFor(b, a));
    const endOfB = new MemoryLink(holdFor(a, b));
    endOfA.#other = endOfB;
    endOfB.#other = endOfA;
    return [endOfA, endOfB];
  }

  send(header: Uint8Array, payload: Uint8Array | null, onSent?: () => void): void {
    this.#post(header, payload ? new BytesPayload(payload) : EMPTY, onSent);
  }

  sendHandle(header: Uint8Array, handle: Handle): void {
    this.#post(header, new HandlePayload(handle), undefined);
  }

  #post(header: Uint8Array, payload: Payload, onSent: (() => void) | undefined): void {
    const other = this.#other;
    if (this.#closing || !other || other.#closing) {
      onSent?.();
      payload.handle?.release();
      return;
    }
    other.#inbox.push({ header, payload, onSent });
    other.#wake();
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    this.#wake();
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    const other = this.#other;
    if (other !== null) other.#wake();
  }

  #wake(): void {
    if (this.#draining || !this.#receiver) return;
    this.#draining = true;
    queueMicrotask(() => void this.#drain());
  }

  async #drain(): Promise<void> {
    const receiver = this.#receiver!;
    for (let parcel = this.#inbox.shift(); parcel; parcel = this.#inbox.shift()) {
      const held = this.#hold?.();
      if (held) await held;
      receiver.onFrame(parcel.header, parcel.payload);
      parcel.onSent?.();
    }
    this.#draining = false;
    const other = this.#other;
    if (!this.#closing && other !== null && other.#closing) {
      this.#closing = true;
      receiver.onClose();
    }
  }
}

/** A job whose ranks are in this thread. */
interface MemoryJob {
  readonly size: number;
  readonly shared: unknown;
  readonly taken: Set<number>;
  /** Ranks that have not left. The name is free again when there are none. */
  readonly present: Set<number>;
  readonly links: Map<number, Link>[];
}

const jobs = new Map<string, MemoryJob>();

/** A rank's place in a job. */
export interface MemoryPlace<T> {
  readonly rank: number;
  /** What the first to come made for all. */
  readonly shared: T;
  /** Links to all other ranks; a rank that has not joined yet finds what was sent when it does. */
  readonly links: ReadonlyMap<number, Link>;
  /** Gives the place up; with the last one the job's name is free for another job. */
  leave(): void;
}

/**
 * Takes a place in job `name`, made by the first to come with its `knobs` and what `share` returns. `rank` may be null:
 * the next free one.
 * @throws AdmissionError if the rank is taken, or the size differs from the first comer's.
 */
export function joinMemoryJob<T>(
  name: string,
  rank: number | null,
  size: number,
  knobs: MemoryKnobs,
  share: () => T,
): MemoryPlace<T> {
  let job = jobs.get(name);
  if (!job) {
    job = {
      size,
      shared: share(),
      taken: new Set(),
      present: new Set(),
      links: Array.from({ length: size }, () => new Map()),
    };
    for (let a = 0; a < size; a++) {
      for (let b = a + 1; b < size; b++) {
        const [endOfA, endOfB] = MemoryLink.pair(a, b, knobs);
        job.links[a]!.set(b, endOfA);
        job.links[b]!.set(a, endOfB);
      }
    }
    jobs.set(name, job);
  }
  if (job.size !== size) {
    throw new AdmissionError(`memory://${name} was begun with worldSize ${job.size}, and this rank says ${size}`);
  }
  const place = rank ?? job.links.findIndex((_, candidate) => !job.taken.has(candidate));
  if (place < 0 || job.taken.has(place)) {
    throw new AdmissionError(
      rank === null ? `memory://${name} has its ${size} ranks already` : `rank ${rank} of memory://${name} is taken`,
      rank === null ? {} : { rank },
    );
  }
  const { taken, present, shared, links } = job;
  taken.add(place);
  present.add(place);
  return {
    rank: place,
    shared: shared as T,
    links: links[place]!,
    leave: () => {
      present.delete(place);
      if (present.size === 0) jobs.delete(name);
    },
  };
}

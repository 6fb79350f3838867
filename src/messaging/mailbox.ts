/**
 * Mailbox: matches messages that arrive with receives that are posted, in the order of each, for one exchange.
 * Whichever comes first waits. A key is one peer in one slot.
 */

import type { Handle } from "../executor/executor.ts";
import type { Destination } from "../link/link.ts";

/** A message that has come, or that its sender asks to send. */
export interface Arrival {
  readonly byteLength: number;
  /** Puts the message's bytes into the posted receive's room and then calls its `done`. */
  deliver(receive: PostedReceive): void;
  /** Nobody will receive it. */
  drop(): void;
}

/** A receive that waits for its message. */
export interface PostedReceive extends Destination {
  /** The peer it waits for, for diagnosis. */
  readonly peer: number;
  /** Takes a message that came by reference; false if it cannot. */
  readonly adopt?: ((handle: Handle) => boolean) | undefined;
  /** True once the exchange has failed: nothing may be written to `into` any more. */
  cancelled: boolean;
  /** From now on `into` may be overwritten. */
  begin(): void;
  fail(error: Error): void;
}

/** One key's queue: only arrivals or only receives wait at a time. */
interface Queue {
  arrivals: Arrival[];
  receives: PostedReceive[];
}

/** The queues of one exchange. */
export class Mailbox {
  readonly #queues = new Map<number, Queue>();

  /** Takes the first waiting arrival for `key`, or lets `receive` wait and returns null. */
  post(key: number, receive: PostedReceive): Arrival | null {
    const queue = this.#queue(key);
    const arrival = queue.arrivals.shift();
    if (arrival) return arrival;
    queue.receives.push(receive);
    return null;
  }

  /** Takes the first waiting receive for `key`, or null: then the arrival is to be kept with `hold`. */
  claim(key: number): PostedReceive | null {
    return this.#queues.get(key)?.receives.shift() ?? null;
  }

  /** Lets an arrival wait for its receive. */
  hold(key: number, arrival: Arrival): void {
    this.#queue(key).arrivals.push(arrival);
  }

  /** Peers for whose messages a receive waits. */
  waitingFor(): Set<number> {
    const peers = new Set<number>();
    for (const { receives } of this.#queues.values()) for (const { peer } of receives) peers.add(peer);
    return peers;
  }

  /** Empties the mailbox and returns all that waited. */
  clear(): { arrivals: Arrival[]; receives: PostedReceive[] } {
    const all = { arrivals: [] as Arrival[], receives: [] as PostedReceive[] };
    for (const { arrivals, receives } of this.#queues.values()) {
      all.arrivals.push(...arrivals);
      all.receives.push(...receives);
    }
    this.#queues.clear();
    return all;
  }

  #queue(key: number): Queue {
    let queue = this.#queues.get(key);
    if (!queue) {
      queue = { arrivals: [], receives: [] };
      this.#queues.set(key, queue);
    }
    return queue;
  }
}

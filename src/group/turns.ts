/**
 * Turns: a composed call, a function built on a group, may make several collectives, one after the other, with other work between
 * them. All composed calls of one group take turns, in the order in which they were made, so that calls which nobody awaits do
 * not mix their collectives: that order is the same on all ranks.
 *
 * A plain collective takes no turn, so one that is made while a composed call runs may fall between its collectives on one rank and
 * behind them on another. Therefore every collective tells the others of which kind of call it is a part, and that call's number
 * (pairing/call-numbers.ts); a pair that differs in either is a MismatchError on all ranks.
 */
import { MismatchError, TimeoutError, type WebcclError } from "../errors.ts";
import type { CollectiveOptions } from "../options.ts";
import { now, startTimer, type Timer } from "../support/clock.ts";
import { timeLimitOf } from "../support/timeouts.ts";
import type { TensorView } from "../tensor/view.ts";
import { type ComposedCall, composedMark } from "../wire/fingerprint.ts";
import type { CallNumbers } from "./pairing/call-numbers.ts";

/** The part of a ProcessGroup that turns need. */
interface TurnGroup {
  readonly name: string;
  readonly timeoutMs: number;
  readonly numbers: CallNumbers;
  coalesce(body: () => void): PromiseLike<void>;
  abort(reason: WebcclError): void;
  hold(owner: string, read: readonly TensorView[], written: readonly TensorView[]): () => void;
}

/** The turns of a group that were not given yet. */
interface Queue {
  /** Ends when the last of them has ended, whether well or not. */
  tail: Promise<void>;
  waiting: number;
  /** Since when one waits. */
  since: number;
}

const queues = new WeakMap<TurnGroup, Queue>();
const ENDED = Promise.resolve();
const nothing = () => {};

function queueOf(group: TurnGroup): Queue {
  const known = queues.get(group);
  if (known) return known;
  const queue = { tail: ENDED, waiting: 0, since: 0 };
  queues.set(group, queue);
  return queue;
}

/** By error, the group whose other ranks have heard of it: no turn tells it again. */
const toldTo = new WeakMap<object, string>();

/** An error of which the other ranks of this group hear. Not one of the caller's own, who may throw it again for another reason. */
export function told<E extends Error>(error: E, group: string): E {
  toldTo.set(error, group);
  return error;
}

/** The option by which a collective is a part of a turn. */
export const TURN: unique symbol = Symbol("turn");

/** Options of a collective that may be a part of a turn. */
export interface TurnPart extends CollectiveOptions {
  readonly [TURN]?: Turn;
}

/** The turn of one composed call. */
export class Turn {
  /** Options that make a collective a part of this call. */
  readonly part: TurnPart = { [TURN]: this };
  readonly #group: TurnGroup;
  /** What a collective of this turn tells the others: the kind of its call. */
  readonly mark: number;
  /** The place of the composed call among those of the group that have begun, from 1; 0 before it has. */
  #place = 0;
  #releases: (() => void)[] = [];
  #last: Promise<unknown> = ENDED;
  #hasEnded = false;
  /** True once the other ranks have heard why this rank's call fails. */
  hasTold = false;

  constructor(group: TurnGroup, call: ComposedCall) {
    this.#group = group;
    this.mark = composedMark(call);
  }

  /** A collective of this turn is made. Returns the number of the composed call; one that makes no collective has none. */
  begin(): number {
    const { numbers } = this.#group;
    this.#place ||= numbers.beginComposed();
    return numbers.ofComposed(this.#place);
  }

  /**
   * Claims memory of the caller until the turn has ended. `owner` is the call, as an error names it.
   * @throws TypeError if it overlaps the memory of a pending Work and either writes it.
   */
  hold(owner: string, read: readonly TensorView[], written: readonly TensorView[] = []): void {
    this.#releases.push(this.#group.hold(owner, read, written));
  }

  /** The turn has ended: what {@link hold} has claimed is free. */
  end(): void {
    this.#hasEnded = true;
    for (const release of this.#releases.splice(0)) release();
  }

  /** Does this turn of `group` still run? */
  isRunningOn(group: unknown): boolean {
    return group === this.#group && !this.#hasEnded;
  }

  /** Runs `task` as a part of this turn, behind the parts before it. */
  within<T>(task: (part: TurnPart) => Promise<T>): Promise<T> {
    const run = this.#last.then(() => task(this.part));
    this.#last = run.then(nothing, nothing);
    return run;
  }

  /**
   * Runs code of the user within this turn, named by `who`. Composed calls that it makes before it returns are a part of this turn. One
   * that it makes later waits for the turn, which waits for the code: when one has waited for the group's time limit, the group is dead.
   */
  async lend<T>(who: string, body: () => T | PromiseLike<T>): Promise<T> {
    const queue = queueOf(this.#group);
    const { tail } = queue;
    queue.tail = ENDED;
    let result: T | PromiseLike<T>;
    let nested: Promise<void>;
    try {
      result = body();
    } finally {
      nested = queue.tail;
      queue.tail = tail;
    }
    const forget = this.#watch(queue, who);
    try {
      return await result;
    } finally {
      await nested;
      forget();
    }
  }

  /** Ends the group when a call has waited for its turn as long as a call may take. Returns how to stop. */
  #watch(queue: Queue, who: string): () => void {
    const limit = timeLimitOf(this.#group.timeoutMs);
    const lent = now();
    let timer: Timer;
    const look = () => {
      const left = queue.waiting > 0 ? Math.max(queue.since, lent) + limit - now() : limit;
      if (left > 0) wait(left);
      else this.#stall(who, limit);
    };
    const wait = (left: number) => {
      timer = startTimer(left, look);
    };
    wait(limit);
    return () => timer.cancel();
  }

  #stall(who: string, limit: number): void {
    const { name } = this.#group;
    const text = `group "${name}": ${who} has not returned, and a call has waited ${limit} ms for its turn behind it. If ${who} makes that call itself, it waits for itself: make it before the first await, or by a group of its own`;
    this.#group.abort(new TimeoutError(text, { group: name }));
    this.giveUp();
  }

  /** Lets the next turn begin. */
  giveUp: () => void = nothing;
}

/**
 * Makes a composed call: `prepare` runs at once, to check and copy the arguments; `task` runs when the composed calls before this one on the
 * group have ended, whether well or not.
 *
 * What either throws rejects, and unless it is the error of a collective, which the other ranks have too, they are told of it as of a
 * refused call: those that have made theirs get a MismatchError at this rank's next collective, and no wrong value.
 */
export function inTurn<P, T>(
  group: TurnGroup,
  call: ComposedCall,
  prepare: (turn: Turn) => P,
  task: (turn: Turn, prepared: P) => T | PromiseLike<T>,
): Promise<T> {
  const queue = queueOf(group);
  const turn = new Turn(group, call);
  const prepared = attempt(() => prepare(turn));
  if (queue.waiting++ === 0) queue.since = now();
  const given = queue.tail.then(async () => {
    queue.waiting--;
    try {
      return await task(turn, prepared());
    } catch (error) {
      if (!turn.hasTold) await tell(group, error);
      throw error;
    } finally {
      turn.end();
    }
  });
  // Not `given` itself, whose result nobody should keep.
  queue.tail = new Promise((resolve) => {
    turn.giveUp = resolve;
    given.then(() => resolve(), resolve as () => void);
  });
  return given;
}

/** Runs `body` now, and gives its outcome later. */
export function attempt<T>(body: () => T): () => T {
  try {
    const result = body();
    return () => result;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}

async function tell(group: TurnGroup, error: unknown): Promise<void> {
  // A MismatchError that was made here was made on every rank.
  const hearers = toldTo.get(Object(error)) ?? (error instanceof MismatchError ? group.name : null);
  if (hearers === group.name) return;
  const refusal = group.coalesce(() => {
    throw error;
  });
  await refusal.then(nothing, nothing);
}

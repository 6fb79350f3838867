/** Options of the public calls. An absent field means its default. */
import type { OptionNames } from "./option-checks.ts";
import type { ReduceOpLike } from "./reduce-op.ts";

/** Where diagnostics go. `console` fits. */
export interface Logger {
  /** Takes an error: something failed, and nobody else hears of it. */
  error(message: string, ...details: unknown[]): void;
  /** Takes a warning. */
  warn(message: string, ...details: unknown[]): void;
  /** Takes a choice of the bring-up, or the progress of one. */
  info(message: string, ...details: unknown[]): void;
  /** Takes the details of calls, at the level DETAIL. */
  debug(message: string, ...details: unknown[]): void;
}

/** How long a collective may take before it rejects with TimeoutError, in milliseconds. */
export const DEFAULT_TIMEOUT_MS = 300_000;

/** As `timeoutMs` of a group, a call or a wait: no timeout, as c10d's kNoTimeout. A store's call looks once instead; it waits for good at Infinity. */
export const NO_TIMEOUT = 0;

/** The port of a hub, and of MASTER_PORT, where none is given. */
export const DEFAULT_PORT = 29_500;

/** How long a silent rank stays a member, in milliseconds. */
export const DEFAULT_PEER_TIMEOUT_MS = 60_000;

/** What every collective takes as its one trailing argument. */
export interface CollectiveOptions {
  /** Milliseconds until the call rejects with TimeoutError and the group is dead; 0 or Infinity for no timeout. Default: the group's. */
  timeoutMs?: number;
  /**
   * Aborts the call, and with it the group. The group stays whole if the signal was aborted before the call, or if it withdraws
   * a recv that no message has met.
   */
  signal?: AbortSignal;
  /** Runs this algorithm instead of the one `select.ts` picks; the same name on every rank. */
  algorithm?: string;
}

export const COLLECTIVE_OPTIONS: OptionNames<CollectiveOptions> = { timeoutMs: true, signal: true, algorithm: true };

/** Options of `shrink` and `admit`. */
export interface MembershipOptions {
  /** Milliseconds that the other ranks are waited for; 0 or Infinity for no timeout. Default: the group's. */
  timeoutMs?: number;
}

export const MEMBERSHIP_OPTIONS: OptionNames<MembershipOptions> = { timeoutMs: true };

/** Options of a call with an operation. */
export interface OpOptions extends CollectiveOptions {
  /** Default: `ReduceOp.SUM`. */
  op?: ReduceOpLike;
}

export const OP_OPTIONS: OptionNames<OpOptions> = { ...COLLECTIVE_OPTIONS, op: true };

/** Options of a collective that reduces. */
export interface ReduceOptions extends OpOptions {
  /**
   * "f32": sums of f16, bf16 and 8-bit floats travel and are added in f32, and are rounded once, at the end. For SUM, AVG and
   * PREMUL_SUM; f32 tensors are added so in any case. The same on every rank. Default: each step rounds to the dtype.
   */
  accumulate?: "f32";
}

export const REDUCE_OPTIONS: OptionNames<ReduceOptions> = { ...OP_OPTIONS, accumulate: true };

/** Options of a collective with a root. */
export interface RootOptions extends CollectiveOptions {
  /** Rank in this group. Default: 0. */
  root?: number;
}

export const ROOT_OPTIONS: OptionNames<RootOptions> = { ...COLLECTIVE_OPTIONS, root: true };

/** Options of `reduce`. */
export interface RootedReduceOptions extends ReduceOptions, RootOptions {}

export const ROOTED_REDUCE_OPTIONS: OptionNames<RootedReduceOptions> = { ...REDUCE_OPTIONS, root: true };

/** Options of `send`, `recv` and `recvAnySource`. */
export interface PointToPointOptions extends CollectiveOptions {
  /** A message is received by the first pending recv of its source and tag. A whole number from 0 to 2^32 - 2. Default: 0. */
  tag?: number;
}

export const POINT_TO_POINT_OPTIONS: OptionNames<PointToPointOptions> = { ...COLLECTIVE_OPTIONS, tag: true };

/** Options of `allToAllSingle`: elements for and from each rank. Default: equal shares. */
export interface AllToAllSingleOptions extends CollectiveOptions {
  /** Elements that come from each rank, in the order of the ranks. Default: equal shares. */
  outputSplits?: readonly number[];
  /** Elements that go to each rank, in the order of the ranks. Default: equal shares. */
  inputSplits?: readonly number[];
}

export const ALL_TO_ALL_SINGLE_OPTIONS: OptionNames<AllToAllSingleOptions> = {
  ...COLLECTIVE_OPTIONS,
  outputSplits: true,
  inputSplits: true,
};

/** Options of `monitoredBarrier`; its timeout is the time until those who are missing are named. */
export interface MonitoredBarrierOptions extends CollectiveOptions {
  /** Name every missing rank, instead of the first. Default: false. */
  waitAllRanks?: boolean;
}

export const MONITORED_BARRIER_OPTIONS: OptionNames<MonitoredBarrierOptions> = {
  ...COLLECTIVE_OPTIONS,
  waitAllRanks: true,
};

/** Options of a store's `queuePop`. */
export interface QueuePopOptions {
  /** False: an empty queue is an error. Default: true, the call waits for a value. */
  block?: boolean;
  /** Milliseconds to wait; 0 for a single look, Infinity for no timeout. Default: the store's. */
  timeoutMs?: number;
}

export const QUEUE_POP_OPTIONS: OptionNames<QueuePopOptions> = { block: true, timeoutMs: true };

/** The same fields, each of which may be absent or undefined. */
export type MayBeAbsent<T> = { [K in keyof T]?: T[K] | undefined };

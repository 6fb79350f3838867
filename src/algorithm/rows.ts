/**
 * Rows: what a table of algorithms is made of. Each folder of algorithms has a table of its own, `rows.ts`; the tables stand one
 * behind the other, and the first row that fits a call runs it (`backend/direct/select.ts`).
 */
import type { Span } from "../executor/executor.ts";
import type { LinkKind } from "../link/link.ts";
import type { ReduceOp } from "../reduce-op.ts";
import type { Late } from "../support/late.ts";
import type { Context } from "./context.ts";

/** How each collective's algorithms are called. Nothing is late where nobody had to be waited for. */
export interface Run {
  allReduce(context: Context, tensor: Span, op: ReduceOp): Late;
  reduceScatter(context: Context, output: Span, inputs: readonly Span[], op: ReduceOp): Late;
  allGather(context: Context, outputs: readonly Span[], input: Span): Late;
  broadcast(context: Context, tensor: Span, root: number): Late;
  reduce(context: Context, tensor: Span, root: number, op: ReduceOp): Late;
  gather(context: Context, outputs: readonly Span[] | null, input: Span, root: number): Late;
  scatter(context: Context, output: Span, inputs: readonly Span[] | null, root: number): Late;
  allToAll(context: Context, outputs: readonly Span[], inputs: readonly Span[]): Late;
  barrier(context: Context): Late;
  scan(context: Context, tensor: Span, op: ReduceOp, options: { exclusive: boolean }): Late;
}

/** A collective that has algorithms; the other public calls are forms of these. */
export type AlgorithmFamily = keyof Run;

/** One algorithm, and the calls that it is for. */
export interface Row<C extends AlgorithmFamily> {
  /** What `algorithm:` and WEBCCL_ALGO call it. */
  readonly algorithm: string;
  readonly run: Run[C];
  /** Every element is computed by one rank. Else several ranks compute it, and their arithmetic must be equal. */
  readonly ownerComputes: boolean;
  /** The result is the left fold ((x0 op x1) op x2) … in rank order, or nothing is folded at all. */
  readonly rankOrder: boolean;
  /**
   * It cannot run without a hub that all ranks are connected to; or without one and direct links as well; or without the
   * region whose table it stands in.
   */
  readonly needs?: "hub" | "hub and clusters" | "region";
  /** The most segments of scratch that one in flight takes, among `size` ranks. Default: none. */
  readonly scratch?: (size: number) => number;
  /** Where it is the better one; a caller who names it is not held to these. */
  readonly links?: readonly LinkKind[];
  readonly minBytes?: number;
  readonly maxBytes?: number;
  readonly minRanks?: number;
  readonly maxRanks?: number;
  /** Only where the ranks outnumber the cores that they run on. */
  readonly crowded?: true;
}

/** Rows for some collectives, best first. */
export type Rows = { readonly [C in AlgorithmFamily]?: readonly Row<C>[] };

/** An algorithm whose code may not have been loaded. */
interface Later {
  load?(): Promise<void>;
}

/** The algorithm `name` of a module, which its first call loads. A message that comes before waits in the mailbox. */
export function later<N extends string, M extends Record<N, (...args: never[]) => Late>>(
  module: () => Promise<M>,
  name: N,
): M[N] {
  let loaded: M[N] | null = null;
  const load = async () => {
    loaded = (await module())[name];
  };
  const run = (...args: Parameters<M[N]>) => (loaded ? loaded(...args) : load().then(() => loaded!(...args)));
  return Object.assign(run, { load }) as unknown as M[N];
}

/** Loads the code of all algorithms, for those who count steps or time. */
export async function loadAlgorithms(table: Table): Promise<void> {
  const rows = table.flatMap((rows) => Object.values(rows).flat());
  await Promise.all(rows.map(({ run }) => (run as Later).load?.()));
}

/** Tables in the order in which they are asked. */
export type Table = readonly Rows[];

export const KIB = 1024;

/** A row that only moves data, or folds on the one rank that gets the result, in rank order. */
export const exact = { ownerComputes: true, rankOrder: true } as const;
/** A row that folds each element on one rank, in an order of its own. */
export const owned = { ownerComputes: true, rankOrder: false } as const;

/** Segments of scratch. */
export const one = { scratch: () => 1 } as const;
export const two = { scratch: () => 2 } as const;
export const perPeer = { scratch: (size: number) => size - 1 } as const;

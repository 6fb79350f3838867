/** A row of the table that `npm run bench:hub` prints. */

/** How much is done for each row: the whole, or a short version of it. */
export interface Extent {
  /** How long R11's reader stands still, in seconds. */
  readonly seconds: number;
  /** R8's frames. */
  readonly frames: number;
  /** R18's tabs, and R10's sockets. */
  readonly tabs: number;
  /** R18's ranks of one process group. */
  readonly ranks: number;
  readonly seed: number;
  /** Of R8's and R9's attacks those whose names have this text. */
  readonly attack: string;
}

/** See the file's head. */
export interface Row {
  readonly id: string;
  readonly what: string;
  readonly target: string;
  readonly measured: string;
  readonly isKept: boolean;
  /** The figures behind `measured`, by name. */
  readonly figures: Readonly<Record<string, number | string | readonly number[]>>;
}

/** Rows that are measured together. */
export interface Part {
  readonly ids: readonly string[];
  /** Those of its rows that are wanted. */
  measure(extent: Extent, isWanted: (id: string) => boolean): AsyncIterable<Row>;
}

export const MIB: number = 2 ** 20;

export const toMib = (bytes: number): number => Math.round((bytes / MIB) * 10) / 10;

/** The value below which so great a part of `values` is. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

export const round = (ms: number): number => Math.round(ms * 100) / 100;

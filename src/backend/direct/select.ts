/**
 * Which algorithm runs a call: the first row that fits, of a table in which the rows of the group's region stand in front,
 * then those for a hub, then those over messages.
 */
import { hubRows } from "../../algorithm/hub/rows.ts";
import { messageRows } from "../../algorithm/messages/rows.ts";
import type { AlgorithmFamily, Row, Rows, Table } from "../../algorithm/rows.ts";
import type { LinkKind } from "../../link/link.ts";

/** The table of a group whose region brings `rows`; of one without a region by default. */
export function tableWith(rows: Rows = {}): Table {
  return [rows, hubRows, messageRows];
}

/** The names of rows that only a region brings, and what the region needs: for a caller who names one in a group without it. */
const OF_REGIONS = [
  { names: ["slots", "last", "one-pass", "pull", "step"], need: "it needs ranks that have memory in common" },
  { names: ["areas", "areas-direct"], need: "it needs processes of one host that share files" },
];

/** What the choice depends on. All of it is the same on every rank of a call. */
export interface SelectQuery<C extends AlgorithmFamily> {
  collective: C;
  /** Bytes of the tensor; where ranks have blocks of their own, of all blocks together. */
  bytes: number;
  /** Ranks in the group. */
  size: number;
  /** The slowest kind of link in the group. */
  link: LinkKind;
  deterministic: boolean;
  /** False for an operation that must be folded in rank order. */
  commutative: boolean;
  /** All ranks report one arithmetic id, and the operation is not a custom one. */
  sameArithmetic: boolean;
  /** What the group has of a hub: none, one to which all ranks are connected, or that and direct links among some. */
  hub: "none" | "all" | "clusters";
  /** The ranks of the group's region are more than the cores that they run on. */
  crowded: boolean;
  /** The operation has code of its caller's. */
  custom: boolean;
  /** The algorithm the caller named. */
  algorithm?: string | undefined;
}

/** The names of a collective's algorithms, each once. */
export function algorithmNames(table: Table, collective: AlgorithmFamily): string[] {
  return namesOf(rowsOf(table, collective));
}

/**
 * The row that runs a call: the one the caller named, else the first that fits.
 * @throws RangeError if the collective has no algorithm of that name, or if it may not be used for this call: it does not
 * fold in rank order where the call is deterministic or the operation not commutative, or several ranks would compute the
 * same element with unequal arithmetic. The message lists the names that would do.
 */
export function selectAlgorithm<C extends AlgorithmFamily>(table: Table, query: SelectQuery<C>): Row<C> {
  const { collective, algorithm } = query;
  for (const rows of table) {
    for (const row of rows[collective] ?? []) {
      const meant = algorithm === undefined ? fits(row, query) : row.algorithm === algorithm;
      if (meant && objection(row, query) === null) return row;
    }
  }

  const rows = rowsOf(table, collective);
  const allowed = rows.filter((row) => objection(row, query) === null);
  const named = rows.find((row) => row.algorithm === algorithm);
  const elsewhere = OF_REGIONS.find(({ names }) => algorithm !== undefined && names.includes(algorithm));
  const reason = named ? objection(named, query) : (elsewhere?.need ?? `${collective} has no such algorithm`);
  throw new RangeError(`algorithm ${JSON.stringify(algorithm)}: ${reason}; use one of ${namesOf(allowed).join(", ")}`);
}

/** Why a row would give wrong or unequal bits, or null if it would not. */
function objection<C extends AlgorithmFamily>(row: Row<C>, query: SelectQuery<C>): string | null {
  if (query.deterministic && !row.rankOrder) return "deterministic mode needs one that folds in rank order";
  if (!query.commutative && !row.rankOrder)
    return "an operation that is not commutative needs one that folds in rank order";
  if (!query.sameArithmetic && !row.ownerComputes) {
    return "several ranks would compute the same element, and their arithmetic is not known to be equal";
  }
  if (!row.needs || row.needs === "region") return null;
  if (query.hub === "none") return "the ranks are not all connected to one hub";
  if (row.needs === "hub and clusters" && query.hub !== "clusters") return "no two ranks are linked directly";
  if (query.custom) return "a hub runs no code of its callers'";
  return null;
}

function fits<C extends AlgorithmFamily>(row: Row<C>, { bytes, size, link, crowded }: SelectQuery<C>): boolean {
  const { minBytes = 0, maxBytes = Infinity, minRanks = 0, maxRanks = Infinity, links } = row;
  const suits = (links === undefined || links.includes(link)) && (crowded || !row.crowded);
  return suits && bytes >= minBytes && bytes <= maxBytes && size >= minRanks && size <= maxRanks;
}

function rowsOf<C extends AlgorithmFamily>(table: Table, collective: C): readonly Row<C>[] {
  return table.flatMap((rows): readonly Row<C>[] => rows[collective] ?? []);
}

function namesOf(rows: readonly { algorithm: string }[]): string[] {
  return [...new Set(rows.map((row) => row.algorithm))];
}

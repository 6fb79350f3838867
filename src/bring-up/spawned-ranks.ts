/** What `spawnRanks` takes and gives. */
import type { OptionNames } from "../option-checks.ts";

/** Options of `spawnRanks`. */
export interface SpawnOptions {
  /**
   * A hub, "ws://host:port/group". Default: none where the page is cross-origin isolated, for its workers then meet in its
   * own memory. Elsewhere it is needed.
   */
  initMethod?: string;
  /** The hub's secret. */
  token?: string;
  /** Ranks of the whole group, if there are others at the hub; which is which is then given in order of arrival. Default: those started here. */
  worldSize?: number;
}

export const SPAWN_OPTIONS: OptionNames<SpawnOptions> = { initMethod: true, token: true, worldSize: true };

/** Ranks that run in workers of this page. */
export interface SpawnedRanks {
  /**
   * Of each rank, what its module posted last, by `postMessage(value)`. It settles when the module, with all that it awaits
   * at top level, has run, and its worker is gone. Rejects with what the module threw, or an AbortedError after `terminate`.
   */
  readonly results: readonly Promise<unknown>[];
  /** Ends every rank that still runs; resolves when all are gone. Ranks of the group elsewhere get a PeerLostError. */
  terminate(): Promise<void>;
}

/** Quotas: how much one group may have at a hub. */
import { checkOptions, type OptionNames } from "../option-checks.ts";

/** What one group may have at a hub, and how many groups and connections there may be. Each is a whole number from 1 on, or Infinity. */
export interface HubQuotas {
  /**
   * Bytes that the hub keeps for one group at a time: frames that wait for a rank, parts of folds, half messages, calls that wait,
   * and its store. Beyond them the rank that holds the most is closed. Default: 512 MiB.
   */
  groupBytes?: number | undefined;
  /** Bytes of one group's store: its values, its keys, and 128 for each. A write past them is a StoreError. Default: 16 MiB. */
  storeBytes?: number | undefined;
  /** Keys of one store, values in queues counted. Default: 65,536. */
  keys?: number | undefined;
  /** Bytes of one value in a store. Default: 8 MiB. */
  valueBytes?: number | undefined;
  /** Ranks of one group, or clients of one store. Default: 4,096. */
  members?: number | undefined;
  /** Groups and stores at a time. Default: 1,024. */
  groups?: number | undefined;
  /** Connections that have been let in. Default: 16,384. */
  connections?: number | undefined;
}

const NAMES: OptionNames<HubQuotas> = {
  ...{ groupBytes: true, storeBytes: true, keys: true, valueBytes: true },
  ...{ members: true, groups: true, connections: true },
};

const DEFAULTS: Required<{ [K in keyof HubQuotas]: number }> = {
  ...{ groupBytes: 512 * 2 ** 20, storeBytes: 16 * 2 ** 20, keys: 65_536, valueBytes: 8 * 2 ** 20 },
  ...{ members: 4_096, groups: 1_024, connections: 16_384 },
};

/**
 * The quotas with every default filled in. `where` names them.
 * @throws TypeError for one that there is not; RangeError for one that is no whole number from 1 on.
 */
export function quotasOf(given: HubQuotas = {}, where = "createHub: quotas"): typeof DEFAULTS {
  checkOptions(where, NAMES, given);
  const quotas = { ...DEFAULTS };
  for (const name of Object.keys(NAMES) as (keyof HubQuotas)[]) {
    const quota = given[name] ?? DEFAULTS[name];
    if (quota !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(quota) && quota >= 1)) {
      throw new RangeError(`${where}.${name} is ${String(quota)}: pass a whole number from 1 on, or Infinity`);
    }
    quotas[name] = quota;
  }
  return quotas;
}

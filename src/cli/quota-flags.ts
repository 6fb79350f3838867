/** The flags of `webccl hub` that bound what is kept for a rank, a group and all of them. Loaded with every command. */
import type { HubQuotas } from "../hub/quotas.ts";
import type { startHub } from "../node/hub.ts";
import { type Flags, integerFlag, sizeFlag, UsageError } from "./usage.ts";

type Bounds = Required<Pick<Parameters<typeof startHub>[0], "maxMessageBytes" | "maxRankBytes" | "maxHubBytes">>;

interface QuotaFlag {
  /** The quota's name in {@link HubQuotas}, or of a bound of the hub itself. */
  readonly quota: keyof HubQuotas | keyof Bounds;
  readonly flag: `--max-${string}`;
  readonly unit: "bytes" | "count";
  readonly description: string;
}

/** Sizes are numbers of bytes such as 64M. */
export const QUOTA_FLAGS: readonly QuotaFlag[] = [
  { quota: "maxMessageBytes", flag: "--max-message-bytes", unit: "bytes", description: "Largest message (16M)" },
  {
    ...{ quota: "maxRankBytes", flag: "--max-rank-bytes", unit: "bytes" },
    description: "Bytes of one rank that wait in the hub (64M)",
  },
  {
    ...{ quota: "groupBytes", flag: "--max-group-bytes", unit: "bytes" },
    description: "Bytes kept for one group, its store included (512M)",
  },
  { quota: "maxHubBytes", flag: "--max-hub-bytes", unit: "bytes", description: "Bytes kept for all groups (1G)" },
  { quota: "storeBytes", flag: "--max-store-bytes", unit: "bytes", description: "Bytes of one group's store (16M)" },
  { quota: "valueBytes", flag: "--max-value-bytes", unit: "bytes", description: "Bytes of one value there (8M)" },
  { quota: "keys", flag: "--max-keys", unit: "count", description: "Keys of one group's store (65536)" },
  { quota: "members", flag: "--max-members", unit: "count", description: "Ranks of one group (4096)" },
  { quota: "groups", flag: "--max-groups", unit: "count", description: "Groups and stores at a time (1024)" },
  { quota: "connections", flag: "--max-connections", unit: "count", description: "Members at a time (16384)" },
];

/**
 * The options of a hub that these flags give; those that were not given are absent.
 * @throws UsageError if one is no size or number above 0.
 */
export function quotaOptions(flags: Flags): Partial<Bounds> & { quotas: HubQuotas } {
  const bounds: Partial<Bounds> = {};
  const quotas: HubQuotas = {};
  for (const { quota, flag, unit } of QUOTA_FLAGS) {
    const most = quotaOf(flag, unit, flags);
    if (most === undefined) continue;
    if (isBound(quota)) bounds[quota] = most;
    else quotas[quota] = most;
  }
  return { ...bounds, quotas };
}

const isBound = (quota: QuotaFlag["quota"]): quota is keyof Bounds => quota.startsWith("max");

function quotaOf(flag: string, unit: QuotaFlag["unit"], flags: Flags): number | undefined {
  const value = flags[nameOf(flag)];
  if (unit === "count") return integerFlag(flag, value, 1);
  const bytes = sizeFlag(flag, value);
  if (bytes === 0) throw new UsageError(`${flag} must be a size above 0, such as 64M`);
  return bytes;
}

/** The name under which the parser has the value of a flag: maxKeys for --max-keys. */
const nameOf = (flag: string) => flag.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

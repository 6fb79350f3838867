/** Host memory for buckets, which a group's later calls use again: fresh pages cost as much as the copy into them. */
import type { ProcessGroup } from "../group/process-group.ts";

type ScratchArray = Float32Array | Int32Array | Uint8Array;

/** The arrays of one group that no bucket has at the moment, the one longest without use first. */
interface Pool {
  readonly free: { readonly kind: string; readonly data: ScratchArray }[];
  freeBytes: number;
  /** Bytes that buckets have now, and the most that they ever had at once. */
  takenBytes: number;
  mostBytes: number;
}

const pools = new WeakMap<ProcessGroup, Pool>();

/**
 * An array of `group.alloc`, with whatever is in it. `giveBack` lets a later call have it. Twice as many bytes are kept as
 * buckets ever had at once, enough for two models that train in turn: where lengths vary, what was not used for long goes.
 */
export function takeScratch(
  group: ProcessGroup,
  dtype: "f32" | "i32" | "u8",
  count: number,
): { data: ScratchArray; giveBack(): void } {
  const pool = pools.get(group) ?? { free: [], freeBytes: 0, takenBytes: 0, mostBytes: 0 };
  pools.set(group, pool);
  const kind = `${dtype} ${count}`;
  const at = pool.free.findLastIndex((one) => one.kind === kind);
  const data = at < 0 ? (group.alloc(dtype, count) as ScratchArray) : pool.free.splice(at, 1)[0]!.data;
  if (at >= 0) pool.freeBytes -= data.byteLength;
  pool.takenBytes += data.byteLength;
  pool.mostBytes = Math.max(pool.mostBytes, pool.takenBytes);
  const giveBack = () => {
    pool.takenBytes -= data.byteLength;
    pool.freeBytes += data.byteLength;
    pool.free.push({ kind, data });
    while (pool.freeBytes > 2 * pool.mostBytes) pool.freeBytes -= pool.free.shift()!.data.byteLength;
  };
  return { data, giveBack };
}

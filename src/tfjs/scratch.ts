/** Host memory for buckets, which a group's later calls use again: fresh pages cost as much as the copy into them. */
import type { ProcessGroup } from "../group/process-group.ts";
import type { HostArray } from "../types.ts";

/** By group, and by dtype and count: the arrays that no bucket has at the moment. */
const free = new WeakMap<ProcessGroup, Map<string, HostArray[]>>();

/** An array of `group.alloc`, with whatever is in it. `giveBack` lets a later call have it. */
export function takeScratch(
  group: ProcessGroup,
  dtype: "f32" | "i32" | "u8",
  count: number,
): { data: Float32Array | Int32Array | Uint8Array; giveBack(): void } {
  const ofGroup = free.get(group) ?? new Map<string, HostArray[]>();
  free.set(group, ofGroup);
  const key = `${dtype} ${count}`;
  const ofKind = ofGroup.get(key) ?? [];
  ofGroup.set(key, ofKind);
  const data = (ofKind.pop() ?? group.alloc(dtype, count)) as Float32Array | Int32Array | Uint8Array;
  return { data, giveBack: () => ofKind.push(data) };
}

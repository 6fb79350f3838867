/** Sums over tensors from `group.alloc`, passed as they are: each is summed as the dtype that it was made for. */
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { decodeSmallFloat, encodeSmallFloat } from "../../src/testing/index.ts";
import { DATA_TYPES, type DataType, type HostArray } from "../../src/types.ts";

/** The sum of `factor * (rank + 1)` over the ranks in each dtype. Every rank calls it; so many elements a tensor. */
export async function allocSums(group: ProcessGroup, count: number, factor = 1): Promise<Record<DataType, number>> {
  const sums = {} as Record<DataType, number>;
  for (const dtype of DATA_TYPES) {
    const tensor = group.alloc(dtype, count);
    const data: HostArray = "data" in tensor ? tensor.data : tensor;
    const value = factor * (group.rank + 1);
    const small = "data" in tensor ? tensor.dtype : null;
    const element = small ? encodeSmallFloat(small, value) : dtype === "i64" || dtype === "u64" ? BigInt(value) : value;
    (data as Float64Array).fill(element as number);
    await group.allReduce(tensor);
    const last = data[count - 1]!;
    sums[dtype] = small ? decodeSmallFloat(small, Number(last)) : Number(last);
  }
  return sums;
}

/** What {@link allocSums} gives in a group of `size`. */
export function expectedSums(size: number, factor = 1): Record<DataType, number> {
  const sum = (factor * (size * (size + 1))) / 2;
  return Object.fromEntries(DATA_TYPES.map((dtype) => [dtype, sum])) as Record<DataType, number>;
}

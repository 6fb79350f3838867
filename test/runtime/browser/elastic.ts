/** A program that goes on without the ranks that leave it, and lets in those that come: for a page and for Node. */
import type { ProcessGroup } from "../../../src/group/process-group.ts";

/** What a rank found at its first reduce of an epoch. */
export interface Reduced {
  epoch: number;
  globalRanks: readonly number[];
  isRight: boolean;
  /** As Date.now() gives it. */
  at: number;
}

/** Reduces until `isOver`, which all ranks take from the lowest. Hands `tell` the first sum of each epoch. */
export async function reduceOn(
  first: ProcessGroup,
  tell: (reduced: Reduced) => void,
  isOver: () => boolean,
): Promise<void> {
  let group = first;
  let told = -1;
  for (let over = false; !over; ) {
    try {
      const tensor = new Int32Array(1_000).fill(1 + group.globalRanks[group.rank]!);
      tensor[0] = isOver() ? 1 : 0;
      await group.allReduce(tensor);
      const { epoch, globalRanks } = group;
      const sum = globalRanks.reduce((all, rank) => all + rank + 1, 0);
      const isRight = tensor.subarray(1).every((value) => value === sum);
      if (told !== epoch || !isRight) tell({ epoch, globalRanks, isRight, at: Date.now() });
      told = epoch;
      over = tensor[0] > 0;
      if (!over) group = await group.admit();
    } catch {
      group = await group.shrink({ timeoutMs: 5_000 });
    }
  }
  await group.destroy();
}

/** Hooks that change nothing of the gradients. Source: torch.distributed.algorithms.ddp_comm_hooks.{default,debugging}_hooks. */
import type { ProcessGroup } from "../../group/process-group.ts";
import type { CommHook } from "../comm-hook.ts";
import { inTurnOf } from "./bucket-turn.ts";

/** The bucket's average in its own dtype, as the Reducer makes it without a hook. The state is the group. */
export const allReduceHook: CommHook<ProcessGroup> = async (group, bucket) => {
  await inTurnOf(group, bucket, async (part) => {
    await group.allReduce(bucket.buffer(), { ...part, op: "avg" });
  });
  return bucket.buffer();
};

/** Leaves this rank's gradients as they are, to measure how long a step takes without communication. Ranks then drift apart. */
export const noopHook: CommHook = async (_state, bucket) => bucket.buffer();

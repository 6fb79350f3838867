/** A call whose custom operation throws on one rank. As a thread of a job, this file posts what came of it there. */
import { parentPort } from "node:worker_threads";
import type { ProcessGroup } from "../../../src/group/process-group.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { ReduceOp } from "../../../src/reduce-op.ts";

export interface ThrowingCall {
  size: number;
  /** The rank whose operation throws, and before it throws, how many elements it folds. */
  thrower: number;
  at: number;
  count: number;
  commutative: boolean;
  /** Is the tensor from `group.alloc`? */
  isAlloc: boolean;
}

/** "right", "wrong" with the first element, or the error. */
export type Outcome = string;

/** Plays `call`, after one that is right. A rank that is slow to end that one may hear of the failure before it has. */
export async function callThatThrows(group: ProcessGroup, call: ThrowingCall): Promise<Outcome> {
  let folded = -1;
  const op = ReduceOp.custom({
    name: "sum, mostly",
    wgsl: "a + b",
    js: (a: number, b: number) => {
      if (folded >= 0 && group.rank === call.thrower && folded++ === call.at) throw new Error("boom");
      return a + b;
    },
    identity: 0,
    commutative: call.commutative,
  });
  const tensor = (call.isAlloc ? group.alloc("f64", call.count) : new Float64Array(call.count)) as Float64Array;
  try {
    await group.allReduce(tensor, { op });
    tensor.fill(group.rank + 1);
    folded = 0;
    await group.allReduce(tensor, { op });
  } catch (error) {
    return String(error);
  }
  const sum = (group.size * (group.size + 1)) / 2;
  return tensor.every((value) => value === sum) ? "right" : `wrong: ${tensor[0]}`;
}

if (parentPort && process.env.WORLD_SIZE) {
  const group = await initProcessGroup({ timeoutMs: 25_000 });
  parentPort.postMessage(await callThatThrows(group, JSON.parse(process.argv[2] as string)));
}

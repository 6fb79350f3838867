/** BoundHook: a comm hook with its state, as a Reducer or a DiLoCo runs it. */
import { MismatchError } from "../../errors.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import type { Turn } from "../../group/turns.ts";
import { type CommHook, tensorOfHookResult } from "../comm-hook.ts";
import type { GradBucket } from "../grad-bucket.ts";
import { bucketInTurn } from "../hooks/bucket-turn.ts";
import type { FlatBuffer } from "./flat-buffer.ts";

export interface BoundHook {
  readonly name: string;
  readonly call: (bucket: GradBucket) => PromiseLike<unknown>;
}

/** @throws TypeError if `hook` is no function. */
export function bindHook<S>(caller: string, state: S, hook: CommHook<S>): BoundHook {
  if (typeof hook !== "function") throw new TypeError(`${caller}: the hook is no function, but ${typeof hook}`);
  return { name: hook.name || "comm hook", call: (bucket) => hook(state, bucket) };
}

/**
 * Reduces a bucket by the hook, within `turn`: afterwards `flat`, the bucket's own buffer, holds the result.
 * @throws what the hook throws. @throws TypeError or RangeError if its result is not of the bucket's dtype and count.
 */
export async function reduceByHook(hook: BoundHook, bucket: GradBucket, flat: FlatBuffer, turn: Turn): Promise<void> {
  bucketInTurn(bucket, turn);
  const result = tensorOfHookResult(await turn.lend(`the comm hook ${hook.name}`, () => hook.call(bucket)));
  bucket.setBuffer(result);
  flat.replace(result);
}

/**
 * Ends the group after an error of `what` on this rank, since the other ranks would wait for calls that this one does not make.
 * A MismatchError is an error of all ranks, and the group goes on.
 */
export function endGroupAfter(error: unknown, group: ProcessGroup, what: string): void {
  if (!(error instanceof MismatchError)) group.abort(`${what} failed: ${error}`);
}

/**
 * The turn of a bucket: a Reducer, a DiLoCo or `averageGradients` calls a hook within a turn of the group. A hook that makes several
 * collectives makes them in that turn, for another one would wait for it; called by anybody else, it takes a turn of its own.
 */
import type { ProcessGroup } from "../../group/process-group.ts";
import { inTurn, type Turn, type TurnPart } from "../../group/turns.ts";
import type { GradBucket } from "../grad-bucket.ts";

const turns = new WeakMap<GradBucket, Turn>();

/** `bucket`, whose hook runs within `turn`. */
export function bucketInTurn(bucket: GradBucket, turn: Turn | undefined): GradBucket {
  if (turn) turns.set(bucket, turn);
  return bucket;
}

/** The turn within which the hook of `bucket` runs, if there is one. */
export function turnOfBucket(bucket: GradBucket): Turn | undefined {
  return turns.get(bucket);
}

/** Runs `task`, which makes collectives on `group`, within the turn of `bucket`, else within one of its own. */
export function inTurnOf<T>(group: ProcessGroup, bucket: GradBucket, task: (part: TurnPart) => Promise<T>): Promise<T> {
  const turn = turns.get(bucket);
  if (turn?.isRunningOn(group)) return turn.within(task);
  return inTurn(
    group,
    "comm hook",
    () => {},
    ({ part }) => task(part),
  );
}

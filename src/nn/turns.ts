/**
 * Turns: a differentiable call may make several collectives, one after the other. The calls of a group take turns, in the order in
 * which they were made, so that calls which nobody awaits do not mix their collectives: that order is the same on all ranks.
 */
import type { ProcessGroup } from "../group/process-group.ts";

const latest = new WeakMap<ProcessGroup, Promise<unknown>>();

/** Runs `task` when the calls before it have ended, whether well or not. */
export function inTurn<T>(group: ProcessGroup, task: () => Promise<T>): Promise<T> {
  const turn = (latest.get(group) ?? Promise.resolve()).then(task, task);
  latest.set(
    group,
    turn.catch(() => {}),
  );
  return turn;
}

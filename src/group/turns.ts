/**
 * Turns: a function built on a group may make several collectives, one after the other, with other work between them. All such
 * calls of one group take turns, in the order in which they were made, so that calls which nobody awaits do not mix their
 * collectives: that order is the same on all ranks.
 */
import type { ProcessGroup } from "./process-group.ts";

const latest = new WeakMap<ProcessGroup, Promise<unknown>>();

/**
 * Runs `task` when the tasks before it on this group have ended, whether well or not. A task must not wait for another turn of
 * its group.
 */
export function inTurn<T>(group: ProcessGroup, task: () => Promise<T>): Promise<T> {
  const turn = (latest.get(group) ?? Promise.resolve()).then(task, task);
  latest.set(
    group,
    turn.catch(() => {}),
  );
  return turn;
}

/**
 * Checks arguments now, and gives the outcome when the call's turn comes. An error is told to the group then, as the refusal of a
 * call: the other ranks, which may have made theirs, get a MismatchError at this rank's next collective, and no wrong value.
 */
export function checked<T>(group: ProcessGroup, check: () => T): () => Promise<T> {
  try {
    const result = check();
    return async () => result;
  } catch (error) {
    return async () => {
      await group.coalesce(() => {
        throw error;
      });
      throw error;
    };
  }
}

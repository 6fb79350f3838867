/** A group whose calls are noted: when each began, how long it may take, and how it ended. */
import { ProcessGroup } from "../../group/process-group.ts";
import { now } from "../../support/clock.ts";
import { asError } from "../../support/thrown.ts";

/** One call on one rank. */
export interface NotedCall {
  readonly rank: number;
  readonly name: string;
  readonly group: string;
  readonly startedAt: number;
  /** Milliseconds within which it must end. */
  readonly limitMs: number;
  endedAt: number | null;
  error: Error | null;
}

/** `limitMs` gives the milliseconds that a call with these options may take. */
export interface Watch {
  readonly rank: number;
  readonly calls: NotedCall[];
  limitMs(name: string, timeoutMs: number | undefined): number;
}

/** Does what `group` does; what its methods return that can be awaited is noted, and groups that they give are watched, too. */
export function watchedGroup(group: ProcessGroup, watch: Watch): ProcessGroup {
  return new Proxy(group, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function" || typeof key !== "string") return value;
      return (...args: unknown[]) => {
        const result: unknown = value.apply(target, args);
        return isThenable(result) ? note(target, key, args, result, watch) : result;
      };
    },
  });
}

function note(group: ProcessGroup, name: string, args: unknown[], result: PromiseLike<unknown>, watch: Watch): unknown {
  const options = args.at(-1) as { timeoutMs?: number } | undefined;
  const call: NotedCall = {
    rank: watch.rank,
    name,
    group: group.name,
    startedAt: now(),
    limitMs: watch.limitMs(name, options?.timeoutMs),
    endedAt: null,
    error: null,
  };
  watch.calls.push(call);
  const ended = result.then(
    (value) => {
      call.endedAt = now();
      return value instanceof ProcessGroup ? watchedGroup(value, watch) : value;
    },
    (error: unknown) => {
      call.endedAt = now();
      call.error = asError(error);
      throw error;
    },
  );
  // Whoever made the call looks at the promise that it gets, or at none.
  ended.then(undefined, () => {});
  return result instanceof Promise ? ended : result;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

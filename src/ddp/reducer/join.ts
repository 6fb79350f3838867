/**
 * join: training in which some ranks have fewer inputs than others. A rank that has no more inputs joins: it takes part in the
 * steps of the others with zeros, until all have joined.
 *
 * One allReduce of 4 bytes comes before each step. An active rank puts 1 into it, a joined rank 0; its sum tells the joined
 * ranks whether there is a step to take part in, and the active ones by how many to divide.
 *
 * Source: torch.distributed.algorithms.join.Join, and DistributedDataParallel.join.
 */
import { MismatchError } from "../../errors.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import { told } from "../../group/turns.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import { ReduceOp, type ReduceOpLike } from "../../reduce-op.ts";
import { checkFlag } from "../hooks/checks.ts";

/** Options of `join`. All ranks give the same. */
export interface JoinOptions {
  /** True: sums are divided by the group's size, as if a joined rank's gradients were zero. False: by the number of ranks that still have inputs. Default: true. */
  divideByInitialWorldSize?: boolean;
  /** True: when the first rank joins, all ranks reject with a RangeError; the group is whole then. Default: false. */
  throwOnEarlyTermination?: boolean;
}

const JOIN_OPTIONS: OptionNames<JoinOptions> = { divideByInitialWorldSize: true, throwOnEarlyTermination: true };

/** A part of training that a rank without inputs can take part in: a Reducer, or a ShardedOptimizer. */
export interface Joinable {
  /** The group of its collectives. */
  readonly group: ProcessGroup;
  /** Set while a `join` runs. `notify` of it is called before each step, and `end` after it. */
  joinContext: JoinContext | null;
  /** Makes the calls of one step of the others, with zeros. */
  shadowStep(): Promise<void>;
  /** Drops a step that was begun and not ended. Returns how an error tells of it; null if there is none. */
  dropStep(): string | null;
  /** Makes the parameters those of rank `root`, after all ranks have joined. */
  syncParameters(root: number): Promise<void>;
}

/** What the joinables of one `join` know together. */
export class JoinContext {
  /** The option of this name. */
  readonly divideByInitialWorldSize: boolean;
  /** How many ranks had inputs in the running step. */
  activeCount = 0;
  /** The error that ended the join on all ranks alike, if it was ended early. */
  termination: RangeError | null = null;
  readonly #group: ProcessGroup;
  readonly #joinables: readonly Joinable[];
  readonly #throwOnEarlyTermination: boolean;
  /** The place of the joinable whose step is next. */
  #next = 0;
  #running: Joinable | null = null;

  constructor(joinables: readonly [Joinable, ...Joinable[]], options: Required<JoinOptions>) {
    const { divideByInitialWorldSize, throwOnEarlyTermination } = options;
    this.#joinables = joinables;
    this.#group = joinables[0].group;
    this.divideByInitialWorldSize = divideByInitialWorldSize;
    this.#throwOnEarlyTermination = throwOnEarlyTermination;
  }

  /** The average that a step takes: over all ranks, or over those that still have inputs. */
  averageOp(): ReduceOpLike {
    return this.divideByInitialWorldSize ? ReduceOp.AVG : ReduceOp.premulSum(1 / this.activeCount);
  }

  /**
   * Tells the ranks that have joined that `joinable` begins a step here. The calls of the step come after it has resolved.
   * @throws Error if the step of another has not ended or another is next: the ranks that have joined make the calls of one
   * joinable after those of the other, in the order of the list.
   */
  notify(joinable: Joinable): Promise<void> {
    const place = this.#joinables.indexOf(joinable);
    if (this.#running || place !== this.#next) {
      const fault = this.#running ? `before that of number ${this.#joinables.indexOf(this.#running)} has ended` : "";
      throw new Error(
        `join: number ${place} of its list begins a step ${fault || `when number ${this.#next} is next`}: in each step let each of the list, in its order, begin and end its part (await finalize(), or step()) before the next begins`,
      );
    }
    this.#running = joinable;
    this.#next = (place + 1) % this.#joinables.length;
    return place === 0 ? this.count(1).then(() => {}) : Promise.resolve();
  }

  /** Says that the step of `joinable` has ended here. */
  end(joinable: Joinable): void {
    if (this.#running === joinable) this.#running = null;
  }

  /** How many ranks have inputs; `own` is 1 if this one has. */
  async count(own: 0 | 1): Promise<number> {
    const counted = Int32Array.of(own);
    await this.#group.allReduce(counted);
    this.activeCount = counted[0] ?? 0;
    if (this.#throwOnEarlyTermination && this.activeCount > 0 && this.activeCount < this.#group.size) {
      const who = own === 0 ? `rank ${this.#group.rank} has no more inputs` : "a rank has no more inputs";
      const error = new RangeError(`join: ${who}, and throwOnEarlyTermination is set; the group is whole`);
      this.termination = told(error, this.#group.name);
      throw this.termination;
    }
    return this.activeCount;
  }
}

/**
 * Runs `body`, in which this rank makes as many steps of `joinables` as it has inputs, and then takes part in the steps of the
 * ranks that have more. Afterwards all ranks have the parameters of a rank that was among the last. Every rank of the group
 * calls it, with the same joinables in the same order. The first one must take part in each step and begin it; the others follow
 * in the order of the list, each when the one before has ended. Sums of `noSync` steps that no step has reduced when a rank
 * joins are dropped.
 *
 * An error of `body` rejects here, and ends the group, since the other ranks would wait for this one; a MismatchError, which all
 * ranks get, does not.
 * @returns what `body` returned.
 * @throws RangeError if there are no joinables; with `throwOnEarlyTermination`, on all ranks when one has joined.
 * @throws TypeError if the joinables are of different groups.
 */
export async function join<T>(
  joinables: readonly Joinable[],
  body: () => T | PromiseLike<T>,
  options: JoinOptions = {},
): Promise<T> {
  checkOptions("join", JOIN_OPTIONS, options);
  const { divideByInitialWorldSize = true, throwOnEarlyTermination = false } = options;
  for (const [name, value] of Object.entries({ divideByInitialWorldSize, throwOnEarlyTermination })) {
    checkFlag("join", name, value);
  }
  const list = checkedJoinables(joinables);
  const [first] = list;
  const context = new JoinContext(list, { divideByInitialWorldSize, throwOnEarlyTermination });
  for (const joinable of joinables) joinable.joinContext = context;
  try {
    const result = await body();
    requireNoStep(joinables);
    await followOthers(context, joinables);
    return result;
  } catch (error) {
    if (!(error instanceof MismatchError) && error !== context.termination) first.group.abort(`join: ${error}`);
    for (const joinable of list) joinable.dropStep();
    throw error;
  } finally {
    for (const joinable of joinables) joinable.joinContext = null;
  }
}

/** @throws Error if a step was left open: the other ranks have begun it too, or never will. */
function requireNoStep(joinables: readonly Joinable[]): void {
  for (const [place, joinable] of joinables.entries()) {
    const state = joinable.dropStep();
    if (state) throw new Error(`the function ended, and a step of number ${place} of the list did not: ${state}`);
  }
}

function checkedJoinables(joinables: readonly Joinable[]): [Joinable, ...Joinable[]] {
  const [first, ...others] = Array.isArray(joinables) ? joinables : [];
  if (!first) throw new RangeError("join: give it a list of at least one Reducer or ShardedOptimizer");
  for (const joinable of [first, ...others]) {
    if (typeof joinable?.shadowStep !== "function") {
      throw new TypeError("join: one of the list is neither a Reducer nor a ShardedOptimizer");
    }
    if (joinable.group !== first.group) throw new TypeError("join: its list has members of different groups");
    if (joinable.joinContext) throw new TypeError("join: one of the list is in another join, which has not ended");
  }
  return [first, ...others];
}

/** Takes part in the steps of the ranks that still have inputs, then gets the parameters of the last of them. */
async function followOthers(context: JoinContext, joinables: readonly Joinable[]): Promise<void> {
  const { group } = joinables[0]!;
  let wasLast = true;
  while ((await context.count(0)) > 0) {
    wasLast = false;
    for (const joinable of joinables) await joinable.shadowStep();
  }
  const last = Int32Array.of(wasLast ? group.rank : -1);
  await group.allReduce(last, { op: "max" });
  for (const joinable of joinables) await joinable.syncParameters(last[0] ?? 0);
}

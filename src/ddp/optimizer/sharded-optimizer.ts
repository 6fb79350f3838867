/**
 * ShardedOptimizer: each rank keeps the optimizer's state of its share of the parameters alone (ZeRO, stage 1).
 *
 * The parameters of one dtype lie flat, and are cut into N even shares. A step has three phases:
 * 1. reduceScatter: rank r holds the averaged gradients of share r. Bytes sent per rank: (N−1)/N of all.
 * 2. Rank r updates share r of the parameters by the rule.
 * 3. allGather: all ranks hold all parameters. Bytes sent per rank: (N−1)/N of all.
 * An allReduce sends as many bytes as both. Memory per rank: flat parameters and gradients, and 1/N of the state.
 *
 * Source: Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models",
 * DOI 10.1109/SC41405.2020.00024.
 */
import type { ProcessGroup } from "../../group/process-group.ts";
import { inTurn, type Turn } from "../../group/turns.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import { ReduceOp } from "../../reduce-op.ts";
import { describe } from "../../tensor/describe.ts";
import { partOfTensor } from "../../tensor/part.ts";
import type { ShapedTensor, Tensor } from "../../types.ts";
import { broadcastCoalesced } from "../broadcast-coalesced.ts";
import { checkGroup } from "../hooks/checks.ts";
import { endGroupAfter } from "../reducer/bound-hook.ts";
import { FlatBuffer } from "../reducer/flat-buffer.ts";
import type { Joinable, JoinContext } from "../reducer/join.ts";
import { paddedCount } from "../reducer/memory.ts";
import {
  checkedGradient,
  indicesByKind,
  type KnownParameter,
  knownParameters,
  requireOwnMemory,
} from "../reducer/parameter.ts";
import type { NamedTensor } from "../verify-params.ts";
import type { UpdateRule } from "./update-rules.ts";

/**
 * What `new ShardedOptimizer` takes. All ranks give the same. A rank's tensors may lie in another memory, in the same partition: parameters that
 * share a memory on one rank share one on every rank.
 */
export interface ShardedOptimizerOptions<S> {
  /** The ranks that share the optimizer's state. */
  group: ProcessGroup;
  /** All parameters, with the same values on all ranks. Each is `{ tensor, shape, name? }`. */
  parameters: readonly NamedTensor[];
  /** How a share is updated: `sgd(…)`, `adam(…)`, or a rule of your own that works on single elements. */
  rule: UpdateRule<S>;
}

const SHARDED_OPTIMIZER_OPTIONS: OptionNames<ShardedOptimizerOptions<unknown>> = {
  group: true,
  parameters: true,
  rule: true,
};

/** The parameters of one dtype in one kind of memory. */
interface Flat<S> {
  /** Their indices. */
  readonly indices: readonly number[];
  readonly parameters: FlatBuffer;
  readonly gradients: FlatBuffer;
  /** This rank's share of both. */
  readonly shareOfParameters: Tensor;
  readonly shareOfGradients: Tensor;
  readonly state: S;
}

export class ShardedOptimizer<S> implements Joinable {
  /** The group whose ranks have a shard each. */
  readonly group: ProcessGroup;
  joinContext: JoinContext | null = null;
  readonly #parameters: readonly KnownParameter[];
  readonly #rule: UpdateRule<S>;
  readonly #flats: readonly Flat<S>[];
  #iteration = 0;
  #isStepping = false;

  /**
   * @throws TypeError for an unknown option, a rule that is none, or a parameter that is not `{ tensor, shape }` of a float
   * dtype. @throws RangeError for no parameters, or a wrong shape. @throws UnsupportedError for a parameter that `sgd` or `adam`
   * cannot update, or the error of the rule's own `check`.
   */
  constructor(options: ShardedOptimizerOptions<S>) {
    checkOptions("ShardedOptimizer", SHARDED_OPTIMIZER_OPTIONS, options);
    const { group, parameters, rule } = options;
    checkGroup("ShardedOptimizer", group);
    if (typeof rule?.update !== "function" || typeof rule.initialState !== "function") {
      throw new TypeError("ShardedOptimizer: rule must have initialState and update, as sgd(…) and adam(…) give");
    }
    this.group = group;
    this.#parameters = knownParameters("ShardedOptimizer", parameters);
    requireOwnMemory("ShardedOptimizer", this.#parameters);
    for (const { tensor } of this.#parameters) rule.check?.(tensor);
    this.#rule = rule;
    this.#flats = indicesByKind(this.#parameters).map((indices) => this.#flatOf(indices));
  }

  /** Updates made so far. */
  get iteration(): number {
    return this.#iteration;
  }

  /**
   * Averages the gradients over all ranks, and updates the parameters, in place and with the same bits on every rank. All ranks
   * call it together.
   * @param gradients one for each parameter, of its dtype, count and memory; they are not changed.
   * @throws TypeError or RangeError for a wrong list of gradients; nothing has been sent then. @throws Error if the step before
   * has not ended. @throws the error of a collective. After an error of the rule the group is dead, since the other ranks wait.
   */
  step(gradients: readonly (Tensor | ShapedTensor)[]): Promise<void> {
    return this.#run((turn) => {
      const tensors = this.#checkedGradients(gradients);
      turn.hold("ShardedOptimizer.step", tensors.map(describe));
      for (const { indices, gradients: flat } of this.#flats) {
        for (const [part, index] of indices.entries()) flat.write(part, tensors[index]!);
      }
      return this.joinContext?.notify(this);
    });
  }

  #checkedGradients(gradients: readonly (Tensor | ShapedTensor)[]): Tensor[] {
    if (!Array.isArray(gradients) || gradients.length !== this.#parameters.length) {
      const given = Array.isArray(gradients) ? `a list of ${gradients.length}` : typeof gradients;
      throw new TypeError(
        `ShardedOptimizer.step: give a gradient for each of ${this.#parameters.length} parameters, not ${given}`,
      );
    }
    return gradients.map((gradient, index) =>
      checkedGradient("ShardedOptimizer.step", this.#parameters, index, gradient),
    );
  }

  /** Takes part in a step of the ranks that still have inputs, with zeros: this rank's share must be updated too. `join` calls it. */
  shadowStep(): Promise<void> {
    return this.#run(() => {
      for (const { indices, gradients } of this.#flats) {
        for (const part of indices.keys()) gradients.clear(part);
      }
    });
  }

  /** Makes the parameters those of rank `root`. `join` calls it, though all ranks have the same after each step. */
  async syncParameters(root: number): Promise<void> {
    const tensors = this.#parameters.map(({ tensor }) => tensor);
    await broadcastCoalesced(this.group, tensors, { root });
  }

  dropStep(): string | null {
    return this.#isStepping ? "a step() was not awaited" : null;
  }

  /** Frees the flat copies. */
  destroy(): void {
    for (const { parameters, gradients } of this.#flats) {
      parameters.destroy();
      gradients.destroy();
    }
  }

  /** Makes a step as one turn of the group. `begin` copies the gradients at once; the step goes on when the promise that it returns has resolved. */
  #run(begin: (turn: Turn) => Promise<void> | undefined): Promise<void> {
    const prepare = (turn: Turn) => {
      if (this.#isStepping) throw new Error("ShardedOptimizer.step: the step before has not ended: await it first");
      const views = this.#parameters.map(({ view }) => view);
      turn.hold("ShardedOptimizer.step", [], views);
      const gate = begin(turn);
      // It is awaited when the turn comes.
      gate?.catch(() => {});
      this.#isStepping = true;
      return gate;
    };
    return inTurn(this.group, "ShardedOptimizer", prepare, async (turn, gate) => {
      try {
        await gate;
        this.#iteration++;
        await this.#updateAll(turn);
      } finally {
        this.#isStepping = false;
        this.joinContext?.end(this);
      }
    });
  }

  async #updateAll(turn: Turn): Promise<void> {
    try {
      for (const flat of this.#flats) await this.#update(flat, turn);
    } catch (error) {
      endGroupAfter(error, this.group, "the step of a ShardedOptimizer");
      throw error;
    }
  }

  async #update(flat: Flat<S>, turn: Turn): Promise<void> {
    const { group, joinContext } = this;
    const { indices, parameters, gradients, shareOfParameters, shareOfGradients, state } = flat;
    await group.reduceScatterTensor(shareOfGradients, gradients.tensor, {
      ...turn.part,
      op: joinContext?.averageOp() ?? ReduceOp.AVG,
    });
    for (const [part, index] of indices.entries()) parameters.write(part, this.#parameters[index]!.tensor);
    const update = { parameters: shareOfParameters, gradients: shareOfGradients, state, iteration: this.#iteration };
    await turn.lend("the rule of ShardedOptimizer", () => this.#rule.update(update));
    await group.allGatherIntoTensor(parameters.tensor, shareOfParameters, turn.part);
    for (const [part, index] of indices.entries()) parameters.read(part, this.#parameters[index]!.tensor);
  }

  #flatOf(indices: readonly number[]): Flat<S> {
    const { group } = this;
    const views = indices.flatMap((index) => this.#parameters[index]?.view ?? []);
    const [like] = views;
    if (!like) throw new RangeError("a flat buffer of no parameters");
    // Each share begins at a whole word, as it must in a GPUBuffer.
    const multiple = group.size * paddedCount(like.dtype, 1);
    const [parameters, gradients] = [new FlatBuffer(group, views, multiple), new FlatBuffer(group, views, multiple)];
    const count = parameters.count / group.size;
    const shareOf = ({ tensor }: FlatBuffer) => partOfTensor(tensor, group.rank * count, count);
    return {
      indices,
      parameters,
      gradients,
      shareOfParameters: shareOf(parameters),
      shareOfGradients: shareOf(gradients),
      state: this.#rule.initialState(count, like.dtype),
    };
  }
}

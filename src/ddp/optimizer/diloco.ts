/**
 * DiLoCo: training over slow links. Each rank makes H steps on its own, with whichever optimizer; then one outer step brings the
 * ranks together:
 *
 * 1. Δ = θ_start − θ_local, this rank's pseudo-gradient.
 * 2. Δ becomes its average over all ranks: one allReduce, or one call of a comm hook, for each dtype.
 * 3. v = μ v + Δ; θ_start = θ_start − η (Δ + μ v): SGD with Nesterov momentum.
 * 4. θ_local = θ_start on all ranks.
 *
 * Bytes on the wire: those of one allReduce of the parameters every H steps. Memory per rank: three times the parameters. Each
 * operation is rounded to the dtype, and all ranks compute the same from the same Δ, so they hold the same bits.
 * With η = 1 and μ = 0 an outer step averages the parameters (local SGD, Stich 2018, arXiv:1805.09767).
 *
 * Source: Douillard et al. 2023, "DiLoCo: Distributed Low-Communication Training of Language Models", arXiv:2311.08105.
 */
import { Elementwise } from "../../elementwise/elementwise.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import { inTurn, type Turn } from "../../group/turns.ts";
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import type { CommHook } from "../comm-hook.ts";
import { GradBucket } from "../grad-bucket.ts";
import { checkGroup, checkWhole } from "../hooks/checks.ts";
import { type BoundHook, bindHook, endGroupAfter, reduceByHook } from "../reducer/bound-hook.ts";
import { FlatBuffer } from "../reducer/flat-buffer.ts";
import { free } from "../reducer/memory.ts";
import { indicesByKind, type KnownParameter, knownParameters, requireOwnMemory } from "../reducer/parameter.ts";
import type { NamedTensor } from "../verify-params.ts";
import { checkNumbers } from "./update-rules.ts";

/**
 * What `new DiLoCo` takes. All ranks give the same. A rank's tensors may lie in another memory, in the same partition: parameters that
 * share a memory on one rank share one on every rank.
 */
export interface DiLoCoOptions {
  /** The ranks that come together at each outer step. */
  group: ProcessGroup;
  /** All parameters, with the same values on all ranks when this is made. Each is `{ tensor, shape, name? }`. */
  parameters: readonly NamedTensor[];
  /** Local steps between two outer steps. Default: 500. */
  localSteps?: number;
  /** η. Default: 0.7. */
  outerLearningRate?: number;
  /** μ. Default: 0.9. */
  outerMomentum?: number;
}

const DILOCO_OPTIONS: OptionNames<DiLoCoOptions> = {
  group: true,
  parameters: true,
  localSteps: true,
  outerLearningRate: true,
  outerMomentum: true,
};

/** The parameters of one dtype in one kind of memory. */
interface Flat {
  readonly parameters: readonly KnownParameter[];
  /** θ_start, Δ and v. */
  readonly start: FlatBuffer;
  readonly change: FlatBuffer;
  readonly velocity: FlatBuffer;
}

/** An optimizer around the local one of each rank: every so many steps the ranks average what their parameters have changed, and take an outer step. */
export class DiLoCo {
  /** The group whose ranks average. */
  readonly group: ProcessGroup;
  readonly #localSteps: number;
  readonly #rate: number;
  readonly #momentum: number;
  readonly #flats: readonly Flat[];
  #hook: BoundHook | null = null;
  #steps = 0;
  #isStepping = false;

  /**
   * @throws TypeError for an unknown option, or a parameter that is not `{ tensor, shape }` of a float dtype. @throws RangeError
   * for no parameters, a wrong shape, `localSteps` below 1, or a number below 0.
   */
  constructor(options: DiLoCoOptions) {
    checkOptions("DiLoCo", DILOCO_OPTIONS, options);
    const { group, parameters, localSteps = 500, outerLearningRate = 0.7, outerMomentum = 0.9 } = options;
    checkGroup("DiLoCo", group);
    checkWhole("DiLoCo", "localSteps", localSteps, 1);
    checkNumbers("DiLoCo", { outerLearningRate, outerMomentum });
    const known = knownParameters("DiLoCo", parameters);
    requireOwnMemory("DiLoCo", known);
    this.group = group;
    this.#localSteps = localSteps;
    this.#rate = outerLearningRate;
    this.#momentum = outerMomentum;
    this.#flats = indicesByKind(known).map((indices) => flatOf(group, indices, known));
  }

  /**
   * Averages the pseudo-gradients by `hook`, in a compressed form for instance, instead of an allReduce. Its bucket has the
   * parameters of one dtype. All ranks register the same, once, before the first outer step.
   * @throws Error if a hook was registered before, or an outer step was made. @throws TypeError if `hook` is no function.
   */
  registerCommHook<S>(state: S, hook: CommHook<S>): void {
    const bound = bindHook("registerCommHook", state, hook);
    if (this.#hook) throw new Error("registerCommHook: a hook is registered already, and it stays");
    if (this.#steps >= this.#localSteps)
      throw new Error("registerCommHook: register a hook before the first outer step");
    this.#hook = bound;
  }

  /**
   * Counts a local step; call it after each. Every `localSteps` of them it makes an outer step, which changes the parameters in
   * place. All ranks make equally many local steps.
   * @returns true if this was an outer step.
   * @throws Error if the step before has not ended. @throws the error of the collective or of the hook: after a MismatchError the
   * group is whole and the parameters are what they were, after any other the group is dead.
   */
  async step(): Promise<boolean> {
    if (this.#isStepping) throw new Error("DiLoCo.step: the step before has not ended: await it first");
    this.#steps++;
    if (this.#steps % this.#localSteps !== 0) return false;
    const begin = (turn: Turn) => {
      const views = this.#flats.flatMap(({ parameters }) => parameters.map(({ view }) => view));
      turn.hold("DiLoCo.step", [], views);
      for (const flat of this.#flats) this.#subtract(flat);
      this.#isStepping = true;
    };
    await inTurn(this.group, "DiLoCo", begin, async (turn) => {
      try {
        for (const [index, flat] of this.#flats.entries()) await this.#average(flat, index, turn);
        for (const flat of this.#flats) this.#apply(flat);
      } catch (error) {
        endGroupAfter(error, this.group, "the outer step of DiLoCo");
        throw error;
      } finally {
        this.#isStepping = false;
      }
    });
    return true;
  }

  /** Frees the flat copies. */
  destroy(): void {
    for (const { start, change, velocity } of this.#flats) {
      for (const flat of [start, change, velocity]) flat.destroy();
    }
  }

  /** Δ of this rank. */
  #subtract({ parameters, start, change }: Flat): void {
    for (const [part, { tensor }] of parameters.entries()) change.write(part, tensor);
    new Elementwise(this.group.device).subtract(start.tensor, change.tensor, change.tensor);
  }

  async #average({ parameters, change }: Flat, index: number, turn: Turn): Promise<void> {
    if (!this.#hook) {
      await this.group.allReduce(change.tensor, { ...turn.part, op: "avg" });
      return;
    }
    const isLast = index === this.#flats.length - 1;
    const { tensor: buffer, offsets } = change;
    await reduceByHook(this.#hook, new GradBucket({ index, buffer, offsets, parameters, isLast }), change, turn);
  }

  #apply({ parameters, start, change, velocity }: Flat): void {
    const elements = new Elementwise(this.group.device);
    elements.scale(velocity.tensor, this.#momentum, velocity.tensor);
    elements.add(velocity.tensor, change.tensor, velocity.tensor);
    // Nesterov: Δ + μ v, in the place of Δ; `scaled` is the only memory that an outer step allocates.
    const scaled = elements.scale(velocity.tensor, this.#momentum);
    elements.add(change.tensor, scaled, change.tensor);
    free(scaled);
    elements.scale(change.tensor, this.#rate, change.tensor);
    elements.subtract(start.tensor, change.tensor, start.tensor);
    for (const [part, { tensor }] of parameters.entries()) start.read(part, tensor);
  }
}

function flatOf(group: ProcessGroup, indices: readonly number[], known: readonly KnownParameter[]): Flat {
  const parameters = indices.flatMap((index) => known[index] ?? []);
  const views = parameters.map(({ view }) => view);
  const [start, change, velocity] = [
    new FlatBuffer(group, views),
    new FlatBuffer(group, views),
    new FlatBuffer(group, views),
  ];
  for (const [part, { tensor }] of parameters.entries()) start.write(part, tensor);
  return { parameters, start, change, velocity };
}

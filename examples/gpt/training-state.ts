/**
 * A training that goes on when its group is made anew: the weights, Adam's moments and the losses of the rank that has come
 * furthest, given to all ranks as one checkpoint.
 */
import * as tf from "@tensorflow/tfjs";
import type { ProcessGroup } from "webccl";
import { encodeSafetensors, loadCheckpoint } from "webccl/ddp";
import { makeOptimizer, makeWeights, type Weights } from "./model.ts";
import { type GptShape, weightDims } from "./shape.ts";
import { floatsOf } from "./tensors.ts";
import { numbersOf } from "./weights.ts";

export class TrainingState {
  readonly shape: GptShape;
  readonly weights: Weights;
  optimizer: tf.AdamOptimizer = makeOptimizer();
  /** Of each step; its length is the number of steps. */
  losses: number[] = [];
  /** Pieces of text that all ranks together have trained with. */
  samples = 0;

  constructor(shape: GptShape) {
    this.shape = shape;
    this.weights = makeWeights(shape);
  }

  get variables(): tf.Variable[] {
    return Object.values(this.weights);
  }

  /**
   * Gives all ranks of `group` the state of the rank that has made the most steps, the lowest of several, and resolves to its rank.
   * Each rank restores it, that one too, so that all have the same bits.
   */
  async share(group: ProcessGroup): Promise<number> {
    const steps = await group.allGatherObject(this.losses.length);
    const root = steps.indexOf(Math.max(...steps));
    const file = group.rank === root ? await this.#save() : null;
    await this.#restore(await loadCheckpoint(group, file, { root }));
    return root;
  }

  async #save(): Promise<Uint8Array> {
    const [iterations, ...moments] = await this.optimizer.getWeights();
    iterations?.tensor.dispose(); // It is made for the caller; the moments are Adam's own.
    const named = Object.fromEntries(moments.map(({ tensor }, i) => [`moment ${i}`, tensor]));
    const losses = { tensor: Float32Array.from(this.losses), shape: [this.losses.length] };
    const tensors = { ...(await numbersOf(this.weights)), ...(await numbersOf(named)), losses };
    return encodeSafetensors(tensors, { samples: String(this.samples) });
  }

  async #restore({ tensors, metadata }: Awaited<ReturnType<typeof loadCheckpoint>>): Promise<void> {
    const dims = weightDims(this.shape);
    this.losses = Array.from(tensors.get("losses")?.tensor as Float32Array);
    this.samples = Number(metadata.get("samples"));
    // Before its first step Adam has no moments; after it, two for each weight.
    const shapes = this.losses.length > 0 ? [...Object.values(dims), ...Object.values(dims)] : [];
    const wanted = Object.fromEntries(shapes.map((shape, i) => [`moment ${i}`, shape]));
    const numbers = floatsOf(tensors, { ...dims, ...wanted });
    this.optimizer.dispose();
    this.optimizer = makeOptimizer();
    const tensorOf = (name: string) => tf.tensor(numbers[name]!.tensor, [...numbers[name]!.shape]);
    const moments = Object.keys(wanted).map((name) => ({ name, tensor: tensorOf(name) }));
    const iterations = { name: "iter", tensor: tf.scalar(this.losses.length, "int32") };
    if (moments.length > 0) await this.optimizer.setWeights([iterations, ...moments]);
    for (const [name, variable] of Object.entries(this.weights)) tf.tidy(() => variable.assign(tensorOf(name)));
    tf.dispose([iterations.tensor, moments.map(({ tensor }) => tensor)]);
  }
}

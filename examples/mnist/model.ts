/** A small network that reads digits. Nothing here knows of ranks. */
import * as tf from "@tensorflow/tfjs";
import { shuffled } from "../shared/random.ts";
import { type Digits, PIXELS } from "./digits.ts";

/** 784 pixels, one hidden layer, 10 digits; the same weights in each process. */
export function makeModel(): tf.LayersModel {
  const kernel = (seed: number) => tf.initializers.glorotUniform({ seed });
  return tf.sequential({
    layers: [
      tf.layers.dense({ units: 128, activation: "relu", inputShape: [PIXELS], kernelInitializer: kernel(1) }),
      tf.layers.dense({ units: 10, kernelInitializer: kernel(2) }),
    ],
  });
}

export const makeOptimizer = () => tf.train.adam(0.003);

/** The model's variables, in the order of its layers. */
export const variablesOf = (model: tf.LayersModel) =>
  model.trainableWeights.map((weight) => weight.read() as tf.Variable);

/** Batches of `size` images, drawn anew by `seed`. The last images are left over where they do not fill one. */
export function* batches({ images, labels }: Digits, size: number, seed: number): Generator<Digits> {
  const order = shuffled(labels.length, seed);
  for (let at = 0; at + size <= order.length; at += size) {
    const batch = { images: new Uint8Array(size * PIXELS), labels: new Uint8Array(size) };
    order.slice(at, at + size).forEach((from, i) => {
      batch.images.set(images.subarray(from * PIXELS, (from + 1) * PIXELS), i * PIXELS);
      batch.labels[i] = labels[from]!;
    });
    yield batch;
  }
}

function inputsOf({ images, labels }: Digits): tf.Tensor2D {
  return tf.tensor2d(
    Float32Array.from(images, (x) => x / 255),
    [labels.length, PIXELS],
  );
}

/** The mean cross entropy of a batch. */
export function lossOf(model: tf.LayersModel, batch: Digits): tf.Scalar {
  const wanted = tf.oneHot(tf.tensor1d(batch.labels, "int32"), 10);
  return tf.losses.softmaxCrossEntropy(wanted, model.apply(inputsOf(batch)) as tf.Tensor).asScalar();
}

/** The share of digits that the model reads rightly. */
export async function accuracyOf(model: tf.LayersModel, digits: Digits): Promise<number> {
  const read = tf.tidy(() => (model.apply(inputsOf(digits)) as tf.Tensor).argMax(1));
  const values = await read.data();
  read.dispose();
  return values.filter((digit, i) => digit === digits.labels[i]).length / values.length;
}

/** All weights, one behind the other. */
export async function weightsOf(model: tf.LayersModel): Promise<Float32Array> {
  const parts = await Promise.all(variablesOf(model).map((variable) => variable.data<"float32">()));
  const all = new Float32Array(parts.reduce((count, part) => count + part.length, 0));
  parts.reduce((at, part) => {
    all.set(part, at);
    return at + part.length;
  }, 0);
  return all;
}

/**
 * A small GPT: a decoder-only transformer that predicts the next character. Nothing here knows of ranks.
 *
 *     h = tokens + positions
 *     h = h + attention(norm(h) · qkv) · out    in each block; causal, over `heads` heads
 *     h = h + relu(norm(h) · up) · down         in each block
 *     logits = norm(h) · head
 *
 * Source: Radford et al., Language Models are Unsupervised Multitask Learners, 2019; here with relu, without biases, and with
 * layer norms that have no weights of their own: the matrix behind each can scale its columns.
 */
import * as tf from "@tensorflow/tfjs";
import { randomOf } from "../shared/random.ts";
import { type GptShape, NORM_EPSILON, weightDims } from "./shape.ts";
import type { Batch } from "./text.ts";

/** The weights by name. tf.js's own names of the variables are numbers. */
export type Weights = Record<string, tf.Variable>;

/** Weights to begin with, the same for each seed. */
export function makeWeights(shape: GptShape, seed = 1): Weights {
  const random = randomOf(seed);
  const entries = Object.entries(weightDims(shape)).map(([name, dims]) => {
    const scale = scaleOf(name, dims, shape);
    // Evenly from -√3 to √3, so that their variance is 1: exact in each runtime, which logarithms and cosines are not.
    const values = Float32Array.from(
      { length: dims.reduce((a, b) => a * b, 1) },
      () => scale * Math.sqrt(3) * (random() / 2 ** 31 - 1),
    );
    return [name, tf.variable(tf.tensor(values, dims))];
  });
  return Object.fromEntries(entries);
}

/** The standard deviation of a weight at the start. */
function scaleOf(name: string, dims: readonly number[], { blocks }: GptShape): number {
  if (name === "tokens" || name === "positions") return 0.3;
  const scale = dims[0]! ** -0.5;
  // What goes into the sum over the blocks is smaller, the more of them there are.
  return name.endsWith("out") || name.endsWith("down") ? scale / Math.sqrt(2 * blocks) : scale;
}

export const makeOptimizer = () => tf.train.adam(0.01);

/** A row for each character of each piece, with the logits of the character that follows. */
export function logitsOf(shape: GptShape, weights: Weights, inputs: Int32Array, pieces: number): tf.Tensor2D {
  return tf.tidy(() => {
    const length = inputs.length / pieces;
    // By a product, whose gradient the cpu backend has fast; that of gather takes a pass for each character.
    const tokens = tf.oneHot(tf.tensor1d(inputs, "int32"), shape.characters).matMul(weights.tokens!);
    const positions = weights.positions!.slice([0, 0], [length, shape.width]).tile([pieces, 1]);
    let h = tokens.add(positions) as tf.Tensor2D;
    for (let block = 0; block < shape.blocks; block++) {
      const own = (name: string) => weights[`${block}.${name}`] as tf.Tensor2D;
      h = h.add(attention(normOf(h), own("qkv"), pieces, shape.heads).matMul(own("out")));
      h = h.add(normOf(h).matMul(own("up")).relu().matMul(own("down")));
    }
    return normOf(h).matMul(weights.head!) as tf.Tensor2D;
  });
}

/** Layer norm. Means are taken by products with a matrix: the cpu backend broadcasts slowly. */
function normOf(x: tf.Tensor2D): tf.Tensor2D {
  const width = x.shape[1];
  const mean = tf.fill<tf.Rank.R2>([width, width], 1 / width);
  const centred = x.sub<tf.Tensor2D>(x.matMul(mean));
  const variance = centred.square<tf.Tensor2D>().matMul(mean);
  return centred.mul<tf.Tensor2D>(variance.add(NORM_EPSILON).rsqrt());
}

/** Each character's mean of the values of itself and those before it in its piece, weighted by how its query meets their keys. */
function attention(x: tf.Tensor2D, qkv: tf.Tensor2D, pieces: number, heads: number): tf.Tensor2D {
  const [rows, width] = x.shape;
  const length = rows / pieces;
  // The matrix is cut, not the product: it is the smaller one.
  const [q, k, v] = [0, 1, 2].map((part) =>
    x
      .matMul(qkv.slice([0, part * width], [width, width]))
      .reshape([pieces, length, heads, width / heads])
      .transpose([0, 2, 1, 3]),
  ) as [tf.Tensor, tf.Tensor, tf.Tensor];
  const future = tf.linalg
    .bandPart(tf.ones([length, length]), -1, 0)
    .sub(1)
    .mul(1e9);
  const shares = q
    .mul((width / heads) ** -0.5)
    .matMul(k, false, true)
    .add(future)
    .softmax();
  return shares.matMul(v).transpose([0, 2, 1, 3]).reshape([rows, width]);
}

/** The mean cross entropy of a batch, in nats for each character. */
export function lossOf(shape: GptShape, weights: Weights, { inputs, targets, pieces }: Batch): tf.Scalar {
  const wanted = tf.oneHot(tf.tensor1d(targets, "int32"), shape.characters);
  return tf.losses.softmaxCrossEntropy(wanted, logitsOf(shape, weights, inputs, pieces)).asScalar();
}

/** The character that follows `text`, drawn as likely as the model finds it; `temperature` 0 takes the likeliest. */
export async function nextCharacter(
  shape: GptShape,
  weights: Weights,
  text: readonly number[],
  temperature: number,
  random: () => number,
): Promise<number> {
  const seen = Int32Array.from(text.slice(-shape.context));
  const last = tf.tidy(() => logitsOf(shape, weights, seen, 1).slice([seen.length - 1, 0], [1, -1]));
  const logits = await last.data<"float32">();
  last.dispose();
  return draw(logits, temperature, random);
}

/** The index of the greatest number at temperature 0; else an index, drawn by softmax(logits / temperature). */
function draw(logits: Float32Array, temperature: number, random: () => number): number {
  const greatest = logits.indexOf(Math.max(...logits));
  if (temperature === 0) return greatest;
  const shares = Array.from(logits, (logit) => Math.exp((logit - logits[greatest]!) / temperature));
  let left = (random() / 2 ** 32) * shares.reduce((a, b) => a + b);
  return Math.max(
    0,
    shares.findIndex((share) => {
      left -= share;
      return left < 0;
    }),
  );
}

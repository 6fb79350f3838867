/** The size of the model and of its weights: all that model.ts, which computes with tf.js, and its ONNX files have in common. */
import { CHARACTERS } from "./text.ts";

/** The size of a model. */
export interface GptShape {
  characters: number;
  /** Characters that it sees at once. */
  context: number;
  /** Numbers for each character. */
  width: number;
  heads: number;
  blocks: number;
}

/** 29,504 weights: a step takes about 25 ms for each piece of 32 characters on tf.js's cpu backend. */
export const SHAPE: GptShape = { characters: CHARACTERS, context: 32, width: 32, heads: 4, blocks: 2 };

/** Added to a variance before its root. */
export const NORM_EPSILON = 1e-5;

/** The dims of each weight, by name, in the order in which all ranks have them. */
export function weightDims({ characters, context, width, blocks }: GptShape): Record<string, number[]> {
  const dims: Record<string, number[]> = { tokens: [characters, width], positions: [context, width] };
  for (let block = 0; block < blocks; block++) {
    Object.assign(dims, {
      [`${block}.qkv`]: [width, 3 * width],
      [`${block}.out`]: [width, width],
      [`${block}.up`]: [width, 4 * width],
      [`${block}.down`]: [4 * width, width],
    });
  }
  return { ...dims, head: [width, characters] };
}

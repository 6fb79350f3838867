/** The weights of a model as numbers, as a safetensors file, and back. */
import type * as tf from "@tensorflow/tfjs";
import { decodeSafetensors, encodeSafetensors } from "webccl/ddp";
import type { Weights } from "./model.ts";
import { type GptShape, weightDims } from "./shape.ts";
import { floatsOf, type Numbers } from "./tensors.ts";

/** The numbers of all weights, by name. */
export async function numbersOf(weights: Readonly<Record<string, tf.Tensor>>): Promise<Record<string, Numbers>> {
  const entries = Object.entries(weights).map(async ([name, weight]) => {
    // A copy: on the cpu backend data() gives the variable's own storage.
    return [name, { tensor: (await weight.data<"float32">()).slice(), shape: weight.shape }] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** The file, which has the model's shape beside the weights. */
export async function weightsFile(shape: GptShape, weights: Weights): Promise<Uint8Array<ArrayBuffer>> {
  return encodeSafetensors(await numbersOf(weights), { shape: JSON.stringify(shape) });
}

/**
 * The weights in a file, and the model's shape.
 * @throws TypeError if it is no safetensors file, or not one of a model of this kind.
 */
export function readWeights(file: Uint8Array): { shape: GptShape; numbers: Record<string, Numbers> } {
  const { tensors, metadata } = decodeSafetensors(file);
  const shape = JSON.parse(metadata.get("shape") ?? "null") as GptShape | null;
  if (!shape) throw new TypeError("the file has no shape of a model: train.ts --weights writes one");
  return { shape, numbers: floatsOf(tensors, weightDims(shape)) };
}

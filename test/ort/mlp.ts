/** The numbers of a multilayer perceptron, whole or one rank's share. In a page they are the same as here. */
import type * as Ort from "onnxruntime-web";
import { columnShard, type Member, rowShard } from "../../src/ort/index.ts";
import { SeededRandom } from "../../src/support/seeded-random.ts";

/** Lengths of x, rows × input, and of the layers. */
export interface MlpDims {
  rows: number;
  input: number;
  hidden: number;
  output: number;
}

/** No length divides by the number of ranks or by 4. */
export const MLP_DIMS: MlpDims = { rows: 5, input: 7, hidden: 11, output: 3 };

const ONE: Member = { rank: 0, size: 1 };

/** Floats between -1 and 1. */
export function floatsOf(count: number, label: string): Float32Array {
  const random = new SeededRandom(1, label);
  return Float32Array.from({ length: count }, () => random.u32() / 2 ** 31 - 1);
}

/** Whole numbers from -4 to 4, whose sums of products are exact in float32, and in float16 up to 2048. */
export function wholeNumbersOf(count: number, label: string): Float32Array {
  const random = new SeededRandom(1, label);
  return Float32Array.from({ length: count }, () => (random.u32() % 9) - 4);
}

/** What the model `MLP` takes: all of it, or the share of `member`. */
export function mlpFeeds(
  ort: Pick<typeof Ort, "Tensor">,
  numbers: (count: number, label: string) => Float32Array,
  { rows, input, hidden, output }: MlpDims,
  member: Member = ONE,
): Record<"x" | "a" | "c" | "b", Ort.Tensor> {
  const a = columnShard(numbers(input * hidden, "a"), [input, hidden], member);
  const c = columnShard(numbers(hidden, "c"), [hidden], member);
  const b = rowShard(numbers(hidden * output, "b"), [hidden, output], member);
  return {
    x: new ort.Tensor("float32", numbers(rows * input, "x"), [rows, input]),
    a: new ort.Tensor("float32", a.data, a.dims),
    c: new ort.Tensor("float32", c.data, c.dims),
    b: new ort.Tensor("float32", b.data, b.dims),
  };
}

/** The greatest difference, relative to the greatest number. */
export function distanceOf(actual: ArrayLike<number> | undefined, expected: ArrayLike<number>): number {
  const scale = Math.max(...Array.from(expected, Math.abs));
  return Math.max(...Array.from(expected, (one, i) => Math.abs(one - (actual?.[i] ?? Number.NaN)))) / scale;
}

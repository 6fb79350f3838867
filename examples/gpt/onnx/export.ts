/**
 * The model of model.ts as ONNX: whole in one file, and cut for several ranks.
 *
 * ONNX Runtime cannot call out of the middle of a run, so a rank of several has one file for each part between two sums over the
 * ranks. Each rank has some heads of each attention and some columns of each MLP, with the rows of the matrix behind them; what
 * comes out is a part of a sum (Megatron-LM, doi:10.48550/arXiv.1909.08053, section 3). Of the head it has some columns.
 */
import { columnShard, type Member, rowShard } from "webccl/ort";
import { type GptShape, NORM_EPSILON, weightDims } from "../shape.ts";
import { floatsOf, type Numbers } from "../tensors.ts";
import { Graph, readOnnx } from "./graph.ts";

type Weights = Readonly<Record<string, Numbers>>;

/** The whole model: `characters`, int64 [length], to `logits`, float32 [length, characters]. */
export function wholeModel(shape: GptShape, weights: Weights): Uint8Array<ArrayBuffer> {
  const graph = new Graph();
  let h = embedding(graph, shape, weights, graph.input("characters", "int64", ["length"]));
  for (let block = 0; block < shape.blocks; block++) {
    h = graph.run("Add", [h, attention(graph, shape, weights, block, h)]);
    h = graph.run("Add", [h, perceptron(graph, shape, weights, block, h)]);
  }
  const logits = graph.run("MatMul", [norm(graph, shape, h), graph.floats("head", weights.head!)]);
  return graph.encode("logits", logits, ["length", shape.characters], { shape: JSON.stringify(shape) });
}

/**
 * The shape and the weights of a file that {@link wholeModel} wrote.
 * @throws TypeError if it is another file.
 */
export function readModel(file: Uint8Array): { shape: GptShape; weights: Record<string, Numbers> } {
  const { tensors, notes } = readOnnx(file);
  const shape = JSON.parse(notes.get("shape") ?? "null") as GptShape | null;
  if (!shape) throw new TypeError("the file has no shape of a GPT: train.ts --onnx writes one");
  return { shape, weights: floatsOf(tensors, weightDims(shape)) };
}

/** The files of one rank. */
export interface RankFiles {
  /** `characters`, int64 [length], to `x`, float32 [length, width]; whole on every rank. */
  embedding: Uint8Array;
  /** Attention and MLP of each block: `x`, float32 [length, width], to `y` of the same dims, which is a part of a sum. */
  parts: Uint8Array[];
  /** The last row of `x` to `logits`, float32 [1, this rank's characters]. */
  head: Uint8Array;
}

/**
 * The files of `member`, cut by the helpers of webccl/ort.
 * @throws RangeError if there are fewer heads than ranks.
 */
export function rankFiles(shape: GptShape, weights: Weights, member: Member): RankFiles {
  const unit = shape.width / shape.heads;
  const columns = (name: string, options = {}) => cut(columnShard, weights, name, member, options);
  const rows = (name: string, options = {}) => cut(rowShard, weights, name, member, options);
  const parts = Array.from({ length: shape.blocks }, (_, block) => {
    const own = {
      [`${block}.qkv`]: columns(`${block}.qkv`, { blocks: 3, unit }),
      [`${block}.out`]: rows(`${block}.out`, { unit }),
      [`${block}.up`]: columns(`${block}.up`),
      [`${block}.down`]: rows(`${block}.down`),
    };
    return [attention, perceptron].map((layer) => {
      const graph = new Graph();
      const x = graph.input("x", "float32", ["length", shape.width]);
      return graph.encode("y", layer(graph, shape, own, block, x), ["length", shape.width]);
    });
  });
  const first = new Graph();
  const x = embedding(first, shape, weights, first.input("characters", "int64", ["length"]));
  const last = new Graph();
  const end = last.run("Slice", [
    last.input("x", "float32", ["length", shape.width]),
    ...[last.ints(-1), last.ints(2 ** 31), last.ints(0)],
  ]);
  const head = columns("head");
  const logits = last.run("MatMul", [norm(last, shape, end), last.floats("head", head)]);
  return {
    embedding: first.encode("x", x, ["length", shape.width]),
    parts: parts.flat(),
    head: last.encode("logits", logits, [1, head.shape[1]!]),
  };
}

/** How many numbers of the model are in the files of a rank. */
export function weightsIn({ embedding: first, parts, head }: RankFiles, shape: GptShape): number {
  const names = new Set(Object.keys(weightDims(shape)));
  const counts = [first, ...parts, head].flatMap((file) =>
    Array.from(readOnnx(file).tensors, ([name, { tensor }]) => (names.has(name) ? tensor.length : 0)),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

function cut(shard: typeof columnShard, weights: Weights, name: string, member: Member, options: object): Numbers {
  const { tensor, shape } = weights[name]!;
  const { data, dims } = shard(tensor, shape, member, options);
  return { tensor: data, shape: dims };
}

function embedding(graph: Graph, _shape: GptShape, weights: Weights, tokens: string): string {
  const positions = graph.run("Slice", [
    graph.floats("positions", weights.positions!),
    ...[graph.ints(0), graph.run("Shape", [tokens]), graph.ints(0)],
  ]);
  return graph.run("Add", [graph.run("Gather", [graph.floats("tokens", weights.tokens!), tokens]), positions]);
}

function norm(graph: Graph, { width }: GptShape, x: string): string {
  const ones = graph.floats("ones", { tensor: new Float32Array(width).fill(1), shape: [width] });
  return graph.run("LayerNormalization", [x, ones], { axis: -1, epsilon: NORM_EPSILON });
}

/** Attention over as many heads as the matrices in `weights` have. */
function attention(graph: Graph, shape: GptShape, weights: Weights, block: number, x: string): string {
  const [qkv, out] = [weights[`${block}.qkv`]!, weights[`${block}.out`]!];
  const each = shape.width / shape.heads;
  const columns = out.shape[0]!;
  const all = graph.run("MatMul", [norm(graph, shape, x), graph.floats(`${block}.qkv`, qkv)]);
  const parts = graph.runMany("Split", [all, graph.ints(columns, columns, columns)], 3, { axis: 1 });
  // 0 is the length of the text.
  const heads = parts.map((part) => graph.run("Reshape", [part, graph.ints(0, columns / each, each)]));
  const q = graph.run("Transpose", [heads[0]!], { perm: [1, 0, 2] });
  const k = graph.run("Transpose", [heads[1]!], { perm: [1, 2, 0] });
  const v = graph.run("Transpose", [heads[2]!], { perm: [1, 0, 2] });
  const scale = graph.floats("scale", { tensor: Float32Array.of(each ** -0.5), shape: [1] });
  const scores = graph.run("Add", [graph.run("MatMul", [graph.run("Mul", [q, scale]), k]), future(graph, shape, x)]);
  const values = graph.run("MatMul", [graph.run("Softmax", [scores], { axis: -1 }), v]);
  const rows = graph.run("Reshape", [graph.run("Transpose", [values], { perm: [1, 0, 2] }), graph.ints(0, -1)]);
  return graph.run("MatMul", [rows, graph.floats(`${block}.out`, out)]);
}

/** -1e9 where a column comes after its row, as many rows and columns as `x` has rows. */
function future(graph: Graph, { context }: GptShape, x: string): string {
  const mask = Float32Array.from({ length: context * context }, (_, i) => (i % context > i / context ? -1e9 : 0));
  const table = graph.floats("future", { tensor: mask, shape: [context, context] });
  const length = graph.run("Shape", [x], { start: 0, end: 1 });
  const both = graph.run("Concat", [length, length], { axis: 0 });
  return graph.run("Slice", [table, graph.ints(0, 0), both, graph.ints(0, 1)]);
}

function perceptron(graph: Graph, shape: GptShape, weights: Weights, block: number, x: string): string {
  const [up, down] = [`${block}.up`, `${block}.down`];
  const hidden = graph.run("Relu", [graph.run("MatMul", [norm(graph, shape, x), graph.floats(up, weights[up]!)])]);
  return graph.run("MatMul", [hidden, graph.floats(down, weights[down]!)]);
}

/**
 * An MLP whose hidden layer is spread over the ranks, forward and backward, compared with the whole of it in one process.
 *
 *   npx webccl run -n 2 examples/tensor-parallel-mlp.ts
 *
 *     y = tanh(x W1) W2,   loss = mean over the batch of |y − target|² / 2
 *
 * Each rank has some columns of W1 and the rows of W2 that belong to them. So tanh(x W1) needs no other rank, and the ranks' y
 * are summed (Shoeybi et al., Megatron-LM, arXiv:1909.08053). Two collectives have a gradient:
 *
 *   broadcast   x from rank 0 to all       back: the sum of all ranks' gradients of x, on rank 0
 *   allReduce   the sum of the ranks' y    back: the sum of all ranks' gradients of y, on all
 *
 * Every rank computes the loss of the same y, and it counts once: each rank takes 1 / size of its gradient.
 */
import { evenShare, initProcessGroup } from "webccl";
import * as nn from "webccl/nn";

const [BATCH, INPUTS, HIDDEN, OUTPUTS] = [16, 24, 64, 10] as const;

/** Rows of equal length, one behind the other. */
interface Matrix {
  values: Float32Array;
  columns: number;
}

const rowsOf = ({ values, columns }: Matrix) => values.length / columns;

function matrix(rows: number, columns: number, valueAt: (row: number, column: number) => number): Matrix {
  const values = Float32Array.from({ length: rows * columns }, (_, i) => valueAt(Math.floor(i / columns), i % columns));
  return { values, columns };
}

const at = ({ values, columns }: Matrix, row: number, column: number) => values[row * columns + column] ?? 0;
const transposed = (a: Matrix) => matrix(a.columns, rowsOf(a), (row, column) => at(a, column, row));
const withValues = ({ columns }: Matrix, values: unknown): Matrix => ({ values: values as Float32Array, columns });
const map = (a: Matrix, f: (value: number, i: number) => number) => withValues(a, a.values.map(f));

function product(a: Matrix, b: Matrix): Matrix {
  return matrix(rowsOf(a), b.columns, (row, column) => {
    let sum = 0;
    for (let k = 0; k < a.columns; k++) sum += at(a, row, k) * at(b, k, column);
    return sum;
  });
}

/** The same numbers in every process. */
const wave = (rows: number, columns: number, seed: number, size: number) =>
  matrix(rows, columns, (row, column) => size * Math.sin(seed + 12.9898 * row + 78.233 * column));
const x = wave(BATCH, INPUTS, 1, 1);
const target = wave(BATCH, OUTPUTS, 2, 1);
const w1 = wave(INPUTS, HIDDEN, 3, 0.2);
const w2 = wave(HIDDEN, OUTPUTS, 4, 0.2);

const lossOf = (y: Matrix) => y.values.reduce((sum, v, i) => sum + (v - (target.values[i] ?? 0)) ** 2 / 2 / BATCH, 0);
const gradientOfLoss = (y: Matrix) => map(y, (v, i) => (v - (target.values[i] ?? 0)) / BATCH);

/** The layer from x to y, and its way back: the gradients of x, W1 and W2. */
function layers(input: Matrix, first: Matrix, second: Matrix) {
  const hidden = map(product(input, first), Math.tanh);
  const back = (gy: Matrix) => {
    const gHidden = product(gy, transposed(second));
    const gBefore = map(gHidden, (g, i) => g * (1 - (hidden.values[i] ?? 0) ** 2));
    return {
      gx: product(gBefore, transposed(first)),
      gw1: product(transposed(input), gBefore),
      gw2: product(transposed(hidden), gy),
    };
  };
  return { y: product(hidden, second), back };
}

const group = await initProcessGroup();
const { rank, size } = group;

// This rank's part of the hidden layer.
const { start, count } = evenShare(HIDDEN, rank, size);
const ownW1 = matrix(INPUTS, count, (row, column) => at(w1, row, start + column));
const ownW2 = matrix(count, OUTPUTS, (row, column) => at(w2, start + row, column));

const [everywhere, pullX] = await nn.broadcast(group, rank === 0 ? x.values : new Float32Array(x.values.length));
const own = layers(withValues(x, everywhere), ownW1, ownW2);
const [sum, pullY] = await nn.allReduce(group, own.y.values);
const y = withValues(own.y, sum);
const gy = map(gradientOfLoss(y), (g) => g / size);
const gradients = own.back(withValues(gy, await pullY(gy.values)));
const gx = withValues(x, await pullX(gradients.gx.values));

// One process alone.
const whole = layers(x, w1, w2);
const expected = whole.back(gradientOfLoss(whole.y));
const largestOf = ({ values }: Matrix) => Math.max(...values.map(Math.abs));
/** As a share of the largest value. */
const difference = (a: Matrix, b: Matrix) => largestOf(map(a, (value, i) => value - (b.values[i] ?? 0))) / largestOf(b);
const largest = Float64Array.of(
  difference(y, whole.y),
  rank === 0 ? difference(gx, expected.gx) : 0,
  difference(
    gradients.gw1,
    matrix(INPUTS, count, (row, column) => at(expected.gw1, row, start + column)),
  ),
  difference(
    gradients.gw2,
    matrix(count, OUTPUTS, (row, column) => at(expected.gw2, start + row, column)),
  ),
);
await group.allReduce(largest, { op: "max" });
if (rank === 0) {
  console.log(`${size} ranks, loss ${lossOf(y).toFixed(6)}; one process, loss ${lossOf(whole.y).toFixed(6)}`);
  const [dy, dx, dw1, dw2] = Array.from(largest, (value) => value.toExponential(1));
  console.log(`largest relative difference of y ${dy}, of the gradients of x ${dx}, W1 ${dw1}, W2 ${dw2}`);
}
if (largest.some((value) => !(value < 1e-5))) process.exitCode = 1;
await group.destroy();

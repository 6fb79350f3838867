/** Products of a tall matrix with thin ones, and orthogonal columns: the arithmetic of PowerSGD. Matrices are row-major. */

/** A matrix that lies in an array. */
export interface Matrix {
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
}

/** product = a · b, summed in f64. */
export function multiply(a: Matrix, b: Matrix, product: Matrix): void {
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < b.columns; j++) {
      let sum = 0;
      for (let k = 0; k < a.columns; k++) sum += a.values[i * a.columns + k]! * b.values[k * b.columns + j]!;
      product.values[i * b.columns + j] = sum;
    }
  }
}

/** product = aᵀ · b, row of `a` by row, so that `a` is read in order. */
export function multiplyTransposed(a: Matrix, b: Matrix, product: Matrix): void {
  const sums = new Float64Array(product.values.length);
  for (let k = 0; k < a.rows; k++) {
    for (let i = 0; i < a.columns; i++) {
      const factor = a.values[k * a.columns + i]!;
      for (let j = 0; j < b.columns; j++) {
        sums[i * b.columns + j] = sums[i * b.columns + j]! + factor * b.values[k * b.columns + j]!;
      }
    }
  }
  product.values.set(sums);
}

/** product = a · bᵀ. */
export function multiplyByTransposed(a: Matrix, b: Matrix, product: Matrix): void {
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < b.rows; j++) {
      let sum = 0;
      for (let k = 0; k < a.columns; k++) sum += a.values[i * a.columns + k]! * b.values[j * b.columns + k]!;
      product.values[i * b.rows + j] = sum;
    }
  }
}

/** A column that keeps less than this part of its length was within the span of those before it. */
const DEPENDENT = 1e-6;

/**
 * Makes the columns orthonormal (Gram–Schmidt, each projected twice). A column without a direction of its own becomes 0. A NaN makes
 * its column NaN, and those behind it.
 * @param epsilon is added to the length by which a column is divided.
 */
export function orthogonalize({ values, rows, columns }: Matrix, epsilon: number): void {
  const column = (c: number) => Float64Array.from({ length: rows }, (_, row) => values[row * columns + c]!);
  const done: Float64Array[] = [];
  for (let c = 0; c < columns; c++) {
    const own = column(c);
    const before = Math.sqrt(dot(own, own));
    for (let pass = 0; pass < 2; pass++) {
      for (const other of done) {
        const overlap = dot(other, own);
        for (let row = 0; row < rows; row++) own[row] = own[row]! - overlap * other[row]!;
      }
    }
    const length = Math.sqrt(dot(own, own));
    const isDependent = length <= DEPENDENT * before;
    for (let row = 0; row < rows; row++) {
      own[row] = isDependent ? 0 : own[row]! / (length + epsilon);
      values[row * columns + c] = own[row]!;
    }
    done.push(own);
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** The step that one process takes with the gradients of several ranks. */
import * as tf from "@tensorflow/tfjs";

/** Applies the average of `parts`, folded in rank order as a deterministic group does it, and frees them. */
export function applyFolded(
  optimizer: tf.Optimizer,
  variables: readonly tf.Variable[],
  parts: readonly ReturnType<typeof tf.variableGrads>[],
): void {
  const averaged = variables.map(({ name, shape }) => {
    const scaled = parts.map(({ grads }) => grads[name]!.dataSync().map((x) => x * Math.fround(1 / parts.length)));
    const sum = scaled.reduce((a, b) => a.map((x, i) => x + b[i]!));
    return { name, tensor: tf.tensor(sum, shape) };
  });
  optimizer.applyGradients(averaged);
  for (const { value, grads } of parts) tf.dispose([value, grads]);
  tf.dispose(averaged.map(({ tensor }) => tensor));
}

/** Models of a few operators, whose weights are inputs: one file serves all ranks, each with its own share. */
import type { OnnxModel } from "../helpers/onnx.ts";

/** y = x · w for matrices of any lengths. */
export const MATMUL: OnnxModel = {
  nodes: [{ op: "MatMul", inputs: ["x", "w"], outputs: ["y"] }],
  inputs: [
    { name: "x", type: "float32", shape: ["rows", "inner"] },
    { name: "w", type: "float32", shape: ["inner", "columns"] },
  ],
  outputs: [{ name: "y", type: "float32", shape: ["rows", "columns"] }],
};

/** y = relu(x · a + c) · b, of which each rank may have some columns of `a` and `c`, and the same rows of `b`. */
export const MLP: OnnxModel = {
  nodes: [
    { op: "MatMul", inputs: ["x", "a"], outputs: ["xa"] },
    { op: "Add", inputs: ["xa", "c"], outputs: ["h"] },
    { op: "Relu", inputs: ["h"], outputs: ["r"] },
    { op: "MatMul", inputs: ["r", "b"], outputs: ["y"] },
  ],
  inputs: [
    { name: "x", type: "float32", shape: ["rows", "in"] },
    { name: "a", type: "float32", shape: ["in", "hidden"] },
    { name: "c", type: "float32", shape: ["hidden"] },
    { name: "b", type: "float32", shape: ["hidden", "out"] },
  ],
  outputs: [{ name: "y", type: "float32", shape: ["rows", "out"] }],
};

/** ONNX Runtime in this process, on its WebAssembly execution provider. */
import * as ort from "onnxruntime-web";
import { encodeOnnx, type OnnxModel } from "../helpers/onnx.ts";

// Threads of its own would be more than these models are worth.
ort.env.wasm.numThreads = 1;

export { ort };

export function createSession(model: OnnxModel, options: ort.InferenceSession.SessionOptions = {}) {
  return ort.InferenceSession.create(encodeOnnx(model), { executionProviders: ["wasm"], ...options });
}

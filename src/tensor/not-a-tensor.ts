/** What to say of a value that is no tensor: what it is, and what to pass in its place. */
import { isGpuBuffer } from "./gpu.ts";

const WANTED = "pass a typed array such as Float32Array, or { data, dtype }";

/** The name of a typed array's class: that holds across realms and for subclasses. */
export function classNameOf(view: ArrayBufferView): string {
  return (view as unknown as { [Symbol.toStringTag]: string })[Symbol.toStringTag];
}

/** A sentence about `value`. */
export function notATensor(value: unknown): string {
  if (value === null || value === undefined) return `the tensor is ${value}: ${WANTED}`;
  if (ArrayBuffer.isView(value)) return notATensorView(classNameOf(value));
  if (Array.isArray(value)) return "an Array is not a tensor: pass a typed array, such as Float32Array.from(array)";
  if (typeof value !== "object") return `a value of type ${typeof value} is not a tensor: ${WANTED}`;
  if (value instanceof ArrayBuffer || classOf(value) === "SharedArrayBuffer") {
    return "a bare buffer has no element type: pass a typed array over it";
  }
  if (isGpuBuffer(value)) return "a GPUBuffer has no element type: pass { buffer, dtype }";
  if ("then" in value) return "a promise is not a tensor: await it first";
  if ("dataId" in value) {
    return "a tf.Tensor is not a tensor here: use webccl/tfjs, or pass await t.data()";
  }
  if ("data" in value) return `the tensor's data is not a typed array: ${WANTED}`;
  return `a value of class ${classOf(value)} is not a tensor: ${WANTED}`;
}

function notATensorView(name: string): string {
  if (name === "DataView") return "a DataView has no element type: pass a typed array over its buffer";
  if (name === "Uint8ClampedArray") {
    return "a Uint8ClampedArray clamps where reductions wrap: pass a Uint8Array over its buffer";
  }
  return `a ${name} is not a tensor: ${WANTED}`;
}

function classOf(value: object): string {
  return value.constructor?.name ?? "Object";
}

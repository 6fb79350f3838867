/** A bucket's gradients as f32 values in host memory, whatever their dtype and memory. */
import { Elementwise } from "../../elementwise/elementwise.ts";
import { UnsupportedError } from "../../errors.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../executor/cpu/half.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import { describe } from "../../tensor/describe.ts";
import { describeGpu } from "../../tensor/gpu.ts";
import type { GpuView, HostView, TensorView } from "../../tensor/view.ts";
import type { GpuTensor, Tensor } from "../../types.ts";
import { bytesOf, deviceOf, hostTensor, readBytes, writeBytes } from "../host-copy.ts";

/** The dtypes of gradients that can be compressed. */
const COMPRESSIBLE = ["f16", "bf16", "f32", "f64"];

/**
 * The view of a bucket that the hook `name` compresses.
 * @throws TypeError if its dtype is no float of 16 bits or more, or if it is in a GPUBuffer and the group has no GPU.
 * @throws UnsupportedError if it is in CUDA memory.
 */
export function compressible(name: string, group: ProcessGroup, tensor: Tensor): HostView | GpuView {
  const view = describe(tensor);
  if (!COMPRESSIBLE.includes(view.dtype)) {
    throw new TypeError(`${name} compresses gradients of ${COMPRESSIBLE.join(", ")}, and the bucket has ${view.dtype}`);
  }
  if (view.memory === "cuda") {
    throw new UnsupportedError(
      `${name} has no kernels for CUDA memory: use allReduceHook, or gradients in host memory`,
    );
  }
  if (view.memory === "gpu") deviceOf(group);
  return view;
}

/** The values as f32: for an f32 tensor in host memory its own elements, else a copy. f64 is rounded. */
export async function readGradients(group: ProcessGroup, view: HostView | GpuView): Promise<Float32Array> {
  if (view.memory === "host") return floatsOf(view);
  const bytes = await readBytes(group, view.tensor);
  const host = describe(hostTensor(view.dtype, bytes));
  return floatsOf(host as HostView);
}

/** Puts the values in place of the tensor's own, rounded to its dtype. */
export async function writeGradients(
  group: ProcessGroup,
  view: HostView | GpuView,
  values: Float32Array,
): Promise<void> {
  if (view.memory === "host") {
    setFloats(view, values);
    return;
  }
  const copy = hostTensor(view.dtype, new Uint8Array(view.byteLength));
  const host = describe(copy) as HostView;
  setFloats(host, values);
  await writeBytes(group, view.tensor, bytesOf(host) as Uint8Array<ArrayBuffer>);
}

/** Do the gradients lie in a GPUBuffer, and have a dtype that kernels compute with? WGSL has no f64. */
export function isForKernels(view: HostView | GpuView): view is GpuView {
  return view.memory === "gpu" && view.dtype !== "f64";
}

/** Runs `body` on the gradients of a GPUBuffer as f32: on the buffer itself, or on a copy, which then takes their place. */
export async function asF32OnGpu(
  group: ProcessGroup,
  view: GpuView,
  body: (values: GpuView) => Promise<void>,
): Promise<void> {
  if (view.dtype === "f32") return body(view);
  const elements = new Elementwise(group.device);
  const wide = elements.convert(view.tensor, "f32") as GpuTensor;
  try {
    await body(describeGpu(wide));
    elements.convert(wide, view.dtype, view.tensor);
  } finally {
    wide.buffer.destroy();
  }
}

function floatsOf(view: HostView): Float32Array {
  if (view.dtype === "f32") return new Float32Array(view.buffer, view.byteOffset, view.count);
  if (view.dtype === "f64") return Float32Array.from(new Float64Array(view.buffer, view.byteOffset, view.count));
  const widen = view.dtype === "f16" ? f16ToF32 : bf16ToF32;
  const bits = new Uint16Array(view.buffer, view.byteOffset, view.count);
  const values = new Float32Array(view.count);
  for (let i = 0; i < values.length; i++) values[i] = widen(bits[i]!);
  return values;
}

function setFloats(view: HostView, values: Float32Array): void {
  if (view.dtype === "f32") new Float32Array(view.buffer, view.byteOffset, view.count).set(values);
  else if (view.dtype === "f64") new Float64Array(view.buffer, view.byteOffset, view.count).set(values);
  else narrowInto(new Uint16Array(view.buffer, view.byteOffset, view.count), view.dtype, values);
}

/** The values' bits in a 16-bit float type. */
export function narrowInto(target: Uint16Array, dtype: TensorView["dtype"], values: Float32Array): void {
  const narrow = dtype === "f16" ? f32ToF16 : f32ToBf16;
  for (let i = 0; i < target.length; i++) target[i] = narrow(values[i]!);
}

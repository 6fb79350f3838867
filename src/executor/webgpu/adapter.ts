/**
 * The device that an executor runs on: the caller's, or one of our own with the limits that large tensors like.
 */
import { NoAdapterError } from "../../errors.ts";
import type { FoldLimits } from "./kernels/fold.ts";
import type { ReadbackTimes } from "./timer.ts";

/** Options of `createWebgpuExecutor`. */
export interface WebgpuExecutorOptions {
  /** A device to share; tensors on it are used where they are. It is not destroyed at the end. Default: one of our own. */
  device?: GPUDevice;
  /** Where adapters come from; kept reachable until the end, which Node's needs. Default: `navigator.gpu`. */
  gpu?: GPU;
  /** Which adapter to ask for. Default: the one of high performance. */
  request?: GPURequestAdapterOptions;
  /** Completes the NoAdapterError: the package to install or the flag to set in this runtime. */
  hint?: string;
  /** "packed" keeps to integer arithmetic for f16 where the device has the type. Default: "auto". */
  f16?: "auto" | "packed";
  /** Called after each readback. Kernels are timed while there is such a listener and if the device has timestamp-query. */
  onReadback?: ((times: ReadbackTimes) => void) | undefined;
  /** Called when a device of our own has been destroyed. */
  onClose?: () => void;
}

/** A device ready for use. */
export interface OpenedDevice {
  device: GPUDevice;
  description: string;
  limits: Omit<FoldLimits, "nativeF16">;
  close(): void;
}

/** Asked for where the adapter has them. */
const WANTED_FEATURES: readonly GPUFeatureName[] = ["shader-f16", "timestamp-query"];
/** Positions in a binding are counted in bytes, in 32 bits. */
const MOST_BINDING_BYTES = 2 ** 30;

/** @throws NoAdapterError if none is there; whatever `requestDevice` rejects with. */
export async function openDevice(options: WebgpuExecutorOptions): Promise<OpenedDevice> {
  const { device: given, onClose } = options;
  const kept: { gpu: GPU | undefined } = { gpu: options.gpu };
  const device = given ?? (await requestDevice(options));
  const info = device.adapterInfo as GPUAdapterInfo | undefined;
  const { maxStorageBufferBindingSize } = device.limits;
  return {
    device,
    description: describe(info),
    limits: { bindingBytes: Math.min(MOST_BINDING_BYTES, maxStorageBufferBindingSize) },
    close: () => {
      if (given) return;
      device.destroy();
      kept.gpu = undefined;
      onClose?.();
    },
  };
}

async function requestDevice(options: WebgpuExecutorOptions): Promise<GPUDevice> {
  const { gpu = navigatorGpu(), request = { powerPreference: "high-performance" }, hint = "" } = options;
  const adapter = await gpu?.requestAdapter(request);
  if (!adapter) {
    const what = gpu ? "WebGPU found no adapter" : "this runtime has no WebGPU";
    throw new NoAdapterError(hint === "" ? what : `${what}: ${hint}`);
  }
  const { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage } = adapter.limits;
  return adapter.requestDevice({
    label: "webccl",
    requiredFeatures: WANTED_FEATURES.filter((feature) => adapter.features.has(feature)),
    requiredLimits: {
      maxBufferSize,
      maxStorageBufferBindingSize: Math.min(MOST_BINDING_BYTES, maxStorageBufferBindingSize),
      // Not for kernels of webccl: for a session of ONNX Runtime on this device.
      maxStorageBuffersPerShaderStage,
    },
  });
}

function navigatorGpu(): GPU | undefined {
  return (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
}

function describe(info: GPUAdapterInfo | undefined): string {
  const words = [info?.description || info?.device || info?.architecture, info?.vendor];
  return words.filter((word) => word).join(", ") || "an adapter without a name";
}

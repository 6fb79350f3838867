/** The GPUDevice of ONNX Runtime, for a group whose tensors are to stay where a session leaves them. */
import type { GpuDeviceLike } from "../types.ts";
import type { OrtEnv } from "./onnx-runtime.ts";

/**
 * The device on which the WebGPU execution provider of `ort.env` runs: pass it to `initProcessGroup` as `device`. It exists
 * from the first session without a device of its own on, until the last such session is released.
 * @throws TypeError before that, or if sessions run on a device that was given to them: pass that one.
 */
export async function deviceOf(env: OrtEnv): Promise<GpuDeviceLike> {
  const device = (await env?.webgpu?.device) as GpuDeviceLike | undefined;
  if (typeof device?.createBuffer === "function") return device;
  throw new TypeError(
    "ort.env.webgpu.device is not there: first create a session with the execution provider webgpu. " +
      "Sessions that were given a device run on that one, and the group takes it too",
  );
}

/**
 * Memory for a call before its first byte: WebGPU tells of a buffer that there is no memory for only later, when others
 * wait for this rank already.
 */
import type { Flow } from "../../executor.ts";
import type { GpuDevice } from "../device.ts";
import type { BufferPool } from "./pool.ts";

/**
 * Sees to it that the pools have the buffers that the flow needs. If there is no memory, idle buffers are let go, and half as
 * many segments are tried once. Resolves to how many segments may be under way.
 * @throws RangeError if there is no memory for those either.
 */
export async function reserve(device: GpuDevice, { segmentBytes, segments, scratch }: Flow): Promise<number> {
  const reserved = async (count: number) => {
    const failure = await fill(device, device.staging, device.readbacks.stagingBytes(segmentBytes), count);
    return failure ?? fill(device, device.scratch, segmentBytes, scratch * count);
  };
  if ((await reserved(segments)) === null) return segments;
  device.evict();
  // Memory is free when its last command is done; Dawn looks for that at the end of a submit.
  device.device.queue.submit([device.device.createCommandEncoder().finish()]);
  await device.orLost(device.device.queue.onSubmittedWorkDone() as Promise<unknown>);
  const half = Math.ceil(segments / 2);
  const failure = await reserved(half);
  if (failure === null) return half;
  device.evict();
  throw new RangeError(`no GPU memory for ${half} of ${segments} segments of ${segmentBytes} bytes: ${failure}`);
}

/** Makes `count` buffers idle in `pool`, as far as it keeps so many; resolves to why there is no memory for them, or null. */
async function fill(device: GpuDevice, pool: BufferPool, bytes: number, count: number): Promise<string | null> {
  const missing = pool.missing(bytes, count);
  if (missing === 0) return null;
  device.device.pushErrorScope("out-of-memory");
  device.device.pushErrorScope("validation");
  const made = Array.from({ length: missing }, () => pool.make(bytes));
  const errors = await device.orLost(Promise.all([device.device.popErrorScope(), device.device.popErrorScope()]));
  const error = errors.find((one) => one !== null);
  for (const buffer of made) {
    if (error) device.destroyBuffer(buffer);
    else pool.give(buffer);
  }
  return error?.message ?? null;
}

/**
 * Staging buffers on their way to the host: the one file that maps them, counts it, and tells listeners how long it took.
 */
import { now } from "../../../support/clock.ts";
import type { GpuStats } from "../batch.ts";
import type { BufferSource } from "../kernels/parameters.ts";
import { PassTimer, type PendingTimes, type ReadbackTimes } from "../timer.ts";
import { MAP_READ_MODE } from "../usage.ts";

/** Who reads, and the failure that it has not been told, if there is one. */
interface Reader {
  readonly failure: unknown;
}

/** The device's part in readbacks. */
interface Owner extends BufferSource {
  readonly stats: GpuStats;
  /** Resolves when the faults of all that was submitted so far are known. */
  answers(): Promise<void>;
  throwIfFailed(user: Reader): void;
  /** `promise`, or a rejection as soon as the device is lost. */
  orLost<T>(promise: Promise<T>): Promise<T>;
  /** The loss of the device, if it caused `error`. */
  lossBehind(error: unknown): Promise<unknown>;
}

/** See the file's head. */
export class Readbacks {
  readonly #device: Owner;
  readonly #listeners = new Set<(times: ReadbackTimes) => void>();
  #timer: PassTimer | null = null;
  #inFlight = 0;

  constructor(device: Owner) {
    this.#device = device;
  }

  /** The timer of kernels, while anyone listens and if the device has one. */
  get timer(): PassTimer | null {
    return this.#timer;
  }

  /** Calls `listener` after each readback, until the function that this returns is called. */
  listen(listener: (times: ReadbackTimes) => void): () => void {
    this.#listeners.add(listener);
    if (this.#device.device.features.has("timestamp-query")) this.#timer ??= new PassTimer(this.#device);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#timer?.destroy();
      this.#timer = null;
    };
  }

  /** The size of a staging buffer for a readback of `bytes`. */
  stagingBytes(bytes: number): number {
    return this.#timer ? PassTimer.stagingBytes(bytes) : bytes;
  }

  /** Copies the first bytes of a staging buffer to `target`. Rejects if the device is lost or anything before failed while `user` used it. */
  async read(user: Reader, staging: GPUBuffer, target: Uint8Array, times: PendingTimes | null): Promise<void> {
    const device = this.#device;
    const { stats } = device;
    const bytes = target.byteLength;
    const mapped = times?.end ?? bytes;
    stats.mapAsyncCalls++;
    stats.bytesRead += bytes;
    stats.mostMapsInFlight = Math.max(stats.mostMapsInFlight, ++this.#inFlight);
    // Of the commands submitted so far: to wait for later answers too would make segments wait for each other.
    const answers = device.answers();
    answers.catch(() => {});
    const start = now();
    try {
      await device.orLost(staging.mapAsync(MAP_READ_MODE, 0, mapped));
    } catch (error) {
      await answers;
      device.throwIfFailed(user);
      throw error;
    } finally {
      this.#inFlight--;
    }
    const end = now();
    await answers;
    device.throwIfFailed(user);
    let passes: ReadbackTimes["passes"];
    try {
      const range = staging.getMappedRange(0, mapped);
      target.set(new Uint8Array(range, 0, bytes));
      passes = times?.read(range) ?? null;
      staging.unmap();
    } catch (error) {
      throw await device.lossBehind(error);
    }
    for (const listener of this.#listeners) listener({ start, end, passes });
  }
}

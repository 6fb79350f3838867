/**
 * The loss of a device: every wait for the device ends with it, and errors of a device that is being lost count as its loss.
 */

import { DeviceLostError } from "../../errors.ts";
import { sleep, startTimer } from "../../support/clock.ts";

/** See the file's head. */
export class DeviceLoss {
  #error: DeviceLostError | null = null;
  /** Rejects those who wait for the device. A race with `device.lost` itself would grow that promise's list for good. */
  readonly #waiting = new Set<(error: unknown) => void>();

  constructor(device: GPUDevice) {
    void device.lost.then(({ reason, message }) => {
      this.#error = new DeviceLostError(`the GPU device was lost (${reason || "unknown"}): ${message}`);
      for (const reject of this.#waiting) reject(this.#error);
      this.#waiting.clear();
    });
  }

  /** Null while the device is there. */
  get error(): DeviceLostError | null {
    return this.#error;
  }

  /** `promise`, or a rejection as soon as the device is lost. */
  or<T>(promise: Promise<T>): Promise<T> {
    if (this.#error) {
      promise.catch(() => {});
      return Promise.reject(this.#error);
    }
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      promise
        .finally(() => this.#waiting.delete(reject))
        .then(resolve, (error: unknown) => {
          // Some runtimes reject before they tell of the loss.
          if (!isAbort(error)) reject(error);
          else startTimer(0, () => reject(this.#error ?? error));
        });
    });
  }

  /** The loss, if it caused `error`: a device that is being lost refuses commands before it reports the loss. */
  async behind(error: unknown): Promise<unknown> {
    await sleep(0);
    return this.#error ?? error;
  }
}

function isAbort(error: unknown): boolean {
  const { name } = (error ?? {}) as { name?: string };
  return name === "AbortError" || name === "OperationError";
}

/** Verdicts: the errors by which a group's ranks agree that their calls of one number are not the same. The latest are remembered. */
import type { WebcclError } from "../errors.ts";

/** How many are remembered, for ranks that come late. */
const REMEMBERED = 1024;

/** See the file's head. */
export class Verdicts {
  readonly #errors = new Map<number, WebcclError>();
  readonly #waiting = new Map<number, (verdict: WebcclError) => void>();

  /** The verdict on call `sequence`, if there is one. */
  on(sequence: number): WebcclError | undefined {
    return this.#errors.size > 0 ? this.#errors.get(sequence) : undefined;
  }

  /** Resolves with the verdict on call `sequence` once there is one, or with the group's cause of death. One waits for a call. */
  next(sequence: number): Promise<WebcclError> {
    return new Promise((resolve) => this.#waiting.set(sequence, resolve));
  }

  add(sequence: number, error: WebcclError): void {
    this.#errors.set(sequence, error);
    const [oldest] = this.#errors.keys();
    if (this.#errors.size > REMEMBERED && oldest !== undefined) this.#errors.delete(oldest);
    this.#waiting.get(sequence)?.(error);
    this.#waiting.delete(sequence);
  }

  /** The group is dead: there will be no more. */
  end(cause: WebcclError): void {
    for (const resolve of this.#waiting.values()) resolve(cause);
    this.#waiting.clear();
  }
}

/** Cleanup: what a bring-up has begun, and how each part of it is undone if the bring-up does not end well. */
import type { Logger } from "../options.ts";

/** Undoes one step of bring-up, which ended with `cause`. */
export type Undo = (cause: unknown) => Promise<void> | void;

/** The steps of one bring-up that may have to be undone. */
export class Cleanup {
  readonly #logger: Logger;
  readonly #steps: Undo[] = [];
  #ran: { cause: unknown } | null = null;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Undoes this one too; at once, if the bring-up has ended while the step was under way. */
  push(undo: Undo): void {
    if (this.#ran) void this.#undo(undo, this.#ran.cause);
    else this.#steps.push(undo);
  }

  /** Undoes all steps, the last one first. */
  async run(cause: unknown): Promise<void> {
    this.#ran = { cause };
    for (const undo of this.#steps.splice(0).reverse()) await this.#undo(undo, cause);
  }

  async #undo(undo: Undo, cause: unknown): Promise<void> {
    try {
      await undo(cause);
    } catch (error) {
      this.#logger.debug("a step of a bring-up that failed could not be undone:", error);
    }
  }
}

/**
 * Areas of ranks that are tasks of one process. What a rank puts is shown by the next step alone: before that nobody can get
 * it, and at the step after it is gone.
 */

import type { HostExecutor } from "../../src/executor/executor.ts";
import type { Traffic } from "../../src/link/link.ts";
import type { Areas } from "../../src/region/region.ts";

const SPOILED = 0x5a;

/** See the file's head. */
export class SimulatedAreas {
  /** Steps that all ranks have made. */
  steps = 0;
  readonly #areaBytes: number;
  readonly #traffic: readonly Traffic[];
  readonly #resume: (goOn: () => void) => void;
  /** By rank: what is put for the next step, and what those that have come to it will show. */
  readonly #next: Uint8Array[] = [];
  readonly #coming: Uint8Array[] = [];
  /** By rank: what the last step has shown. */
  #shown: readonly Uint8Array[] = [];
  readonly #waiting: (() => void)[] = [];

  /** `traffic` counts the bytes of each rank; `resume` lets one that waited go on, in its time. */
  constructor(areaBytes: number, traffic: readonly Traffic[], resume: (goOn: () => void) => void) {
    this.#areaBytes = areaBytes;
    this.#traffic = traffic;
    this.#resume = resume;
  }

  of(rank: number, executor: HostExecutor): Areas {
    const traffic = this.#traffic[rank]!;
    // Others may come to the next step, and put what is for the one after it, while this rank still gets.
    let shown: readonly Uint8Array[] = [];
    return {
      kind: "areas",
      executor,
      areaBytes: this.#areaBytes,
      put: (bytes, position) => {
        this.#areaOf(rank).set(bytes, position);
        traffic.bytesSent += bytes.byteLength;
      },
      get: (target, from, position) => {
        if (position + target.byteLength > this.#areaBytes) throw new Error("what is got ends behind the area");
        target.set(shown[from]!.subarray(position, position + target.byteLength));
        traffic.bytesReceived += target.byteLength;
      },
      step: () => {
        this.#coming[rank] = this.#areaOf(rank);
        delete this.#next[rank];
        if (this.#waiting.length < this.#traffic.length - 1) {
          return new Promise((resolve) => {
            this.#waiting.push(() => {
              shown = this.#shown;
              resolve();
            });
          });
        }
        this.steps++;
        this.#shown = [...this.#coming];
        shown = this.#shown;
        for (const goOn of this.#waiting.splice(0)) this.#resume(goOn);
        return undefined;
      },
      breathe: () => undefined,
    };
  }

  /** Where `rank` puts what it will show; there is one only once it is wanted. */
  #areaOf(rank: number): Uint8Array {
    this.#next[rank] ??= new Uint8Array(this.#areaBytes).fill(SPOILED);
    return this.#next[rank];
  }
}

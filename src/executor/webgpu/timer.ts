/**
 * When kernels ran, by the device's own clock. A pass has a timestamp at its beginning and one at its end; they come to the host
 * behind the bytes of the next readback, in its staging buffer, so nothing more is mapped for them.
 */
import { now } from "../../support/clock.ts";
import type { BufferSource } from "./kernels/parameters.ts";
import { GPUBufferUsage } from "./usage.ts";

/** A pass of kernels, in milliseconds of the device's clock. */
export interface KernelPass {
  readonly start: number;
  readonly end: number;
  /** The time (support/clock.ts) before its submit. */
  readonly submitted: number;
}

/** One readback. Times are those of support/clock.ts. */
export interface ReadbackTimes {
  /** When mapAsync was called. */
  readonly start: number;
  /** When the bytes were there. */
  readonly end: number;
  /** The passes since the readback before, or since the device was last idle; null where the device does not tell. */
  readonly passes: readonly KernelPass[] | null;
}

/** The timestamps of a readback, once it is mapped. */
export interface PendingTimes {
  /** Where they end in the staging buffer. */
  readonly end: number;
  read(mapped: ArrayBuffer): KernelPass[] | null;
}

/** Passes between two readbacks. */
const MOST_PASSES = 256;
const PASS_BYTES = 16;
const NANOSECONDS_PER_MS = 1e6;

/** See the file's head. For a device that has timestamp-query. */
export class PassTimer {
  readonly #source: BufferSource;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  /** Passes whose timestamps no readback has taken yet. */
  #passes: { submitted: number }[] = [];
  /** Of the next submit. */
  #unsubmitted: { submitted: number }[] = [];
  #isFull = false;

  constructor(source: BufferSource) {
    this.#source = source;
    this.#queries = source.device.createQuerySet({ type: "timestamp", count: 2 * MOST_PASSES });
    this.#resolved = source.createBuffer(
      MOST_PASSES * PASS_BYTES,
      GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    );
  }

  /** The size of a staging buffer for `bytes` and the timestamps behind them. */
  static stagingBytes(bytes: number): number {
    return timesStart(bytes) + MOST_PASSES * PASS_BYTES;
  }

  /** The descriptor of the next pass. */
  nextPass(): GPUComputePassDescriptor {
    this.#isFull ||= this.#passes.length === MOST_PASSES;
    if (this.#isFull) return {};
    const beginningOfPassWriteIndex = 2 * this.#passes.length;
    const pass = { submitted: 0 };
    this.#passes.push(pass);
    this.#unsubmitted.push(pass);
    const endOfPassWriteIndex = beginningOfPassWriteIndex + 1;
    return { timestampWrites: { querySet: this.#queries, beginningOfPassWriteIndex, endOfPassWriteIndex } };
  }

  /** To be called before each submit. */
  submitting(): void {
    const time = now();
    for (const pass of this.#unsubmitted) pass.submitted = time;
    this.#unsubmitted = [];
  }

  /** Copies the timestamps of all passes so far into a staging buffer, behind its first `bytes`. */
  resolve(encoder: GPUCommandEncoder, staging: GPUBuffer, bytes: number): PendingTimes {
    const [passes, isFull] = [this.#passes, this.#isFull];
    this.forget();
    const start = timesStart(bytes);
    const length = passes.length * PASS_BYTES;
    if (length > 0) {
      encoder.resolveQuerySet(this.#queries, 0, 2 * passes.length, this.#resolved, 0);
      encoder.copyBufferToBuffer(this.#resolved, 0, staging, start, length);
    }
    const ms = (nanoseconds: bigint) => Number(nanoseconds) / NANOSECONDS_PER_MS;
    return {
      end: start + length,
      read: (mapped) => {
        if (isFull) return null;
        const times = new DataView(mapped, start, length);
        return passes.map(({ submitted }, i) => {
          const at = i * PASS_BYTES;
          return { start: ms(times.getBigUint64(at, true)), end: ms(times.getBigUint64(at + 8, true)), submitted };
        });
      },
    };
  }

  /** The device is idle: nobody waits for a pass so far. */
  forget(): void {
    this.#passes = [];
    this.#isFull = false;
  }

  destroy(): void {
    this.#queries.destroy();
    this.#source.destroyBuffer(this.#resolved);
  }
}

function timesStart(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

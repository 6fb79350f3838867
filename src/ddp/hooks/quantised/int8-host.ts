/** The blocks of a bucket in host memory: the loops of int8Hook's steps. */
import type { Tensor } from "../../../types.ts";
import { addBlock, type Blocks, decodeBlock, encodeBlock, type Int8Job, ownedCount, Records } from "./int8-blocks.ts";

/** What a rank keeps of a bucket in host memory: what was lost of its own gradients, and of the blocks that it owns. */
export interface HostKept {
  readonly own: Float32Array;
  readonly owned: Float32Array;
}

/** Nothing kept yet. */
export function keepOnHost(job: Int8Job): HostKept {
  return { own: new Float32Array(job.count), owned: new Float32Array(ownedCount(job)) };
}

/** See the file's head. */
export class HostBlocks implements Blocks {
  readonly #job: Int8Job;
  readonly #values: Float32Array;
  readonly #kept: HostKept;
  readonly #records: Records;
  readonly #received: Records;

  /** `values` become the average. */
  constructor(job: Int8Job, values: Float32Array, kept: HostKept) {
    this.#job = job;
    this.#values = values;
    this.#kept = kept;
    this.#records = new Records(Math.ceil(job.count / job.blockSize), job.blockSize);
    this.#received = new Records(job.group.size * job.mine.count, job.blockSize);
  }

  get records(): Tensor {
    return this.#records.words;
  }

  get received(): Tensor {
    return this.#received.words;
  }

  encode(): void {
    const { own } = this.#kept;
    if (!this.#job.errorFeedback) own.set(this.#values);
    else for (let i = 0; i < own.length; i++) own[i] = own[i]! + this.#values[i]!;
    this.#encodeAll(0, own);
  }

  encodeMean(): void {
    const { group, mine, blockSize, errorFeedback } = this.#job;
    const { owned } = this.#kept;
    const factor = Math.fround(1 / group.size);
    const sum = new Float32Array(owned.length);
    for (let block = 0; block < mine.count; block++) {
      const [start, end] = [block * blockSize, Math.min(owned.length, (block + 1) * blockSize)];
      for (let rank = 0; rank < group.size; rank++) {
        addBlock(this.#received, rank * mine.count + block, sum, start, end);
      }
    }
    for (let i = 0; i < owned.length; i++) owned[i] = Math.fround(sum[i]! * factor) + (errorFeedback ? owned[i]! : 0);
    this.#encodeAll(mine.start, owned);
  }

  decode(): void {
    const { count, blockSize } = this.#job;
    for (let start = 0, record = 0; start < count; start += blockSize, record++) {
      decodeBlock(this.#records, record, this.#values, start, Math.min(count, start + blockSize));
    }
  }

  discard(): void {}

  /** The values as records from record `first` on. */
  #encodeAll(first: number, values: Float32Array): void {
    const { blockSize } = this.#job;
    for (let start = 0, record = first; start < values.length; start += blockSize, record++) {
      encodeBlock(this.#records, record, values, start, Math.min(values.length, start + blockSize));
    }
  }
}

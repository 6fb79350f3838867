/**
 * DistributedSampler: which samples of a data set each rank sees in an epoch.
 *
 * Source: torch.utils.data.distributed.DistributedSampler. The order of the samples is webccl's own: PyTorch draws them with
 * another generator.
 */
import { checkOptions, type OptionNames } from "../option-checks.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { checkFlag, checkSeed } from "./hooks/checks.ts";

/** Options of {@link DistributedSampler}. */
export interface DistributedSamplerOptions {
  /** Samples in the data set. */
  count: number;
  /** This rank. */
  rank: number;
  /** How many ranks share the samples. */
  worldSize: number;
  /** Another order in each epoch, the same on all ranks. Default: true. */
  shuffle?: boolean;
  /** Where the orders come from, a whole number of 32 bits; equal on all ranks. Default: 0. */
  seed?: number;
  /** What does not divide evenly is left out of the epoch. Default: false, some samples are seen twice. */
  dropLast?: boolean;
}

const OPTIONS: OptionNames<DistributedSamplerOptions> = {
  count: true,
  rank: true,
  worldSize: true,
  shuffle: true,
  seed: true,
  dropLast: true,
};

/**
 * The indices of this rank's samples, to be iterated once for each epoch. In an epoch every rank has `length` of them, and all
 * ranks together have every sample: if `count` is no multiple of `worldSize`, the first ones again until all ranks have as many, or
 * with `dropLast` the last ones of the order are left out.
 *
 *     for (let epoch = 0; epoch < epochs; epoch++) {
 *       sampler.setEpoch(epoch);
 *       for (const index of sampler) …
 *     }
 */
export class DistributedSampler implements Iterable<number> {
  /** Samples of this rank in an epoch. */
  readonly length: number;
  readonly #options: Required<DistributedSamplerOptions>;
  #epoch = 0;

  /**
   * @throws TypeError for an unknown option, or a `shuffle` or `dropLast` that is neither true nor false. @throws RangeError if a
   * number is not whole or negative, `count` or `seed` has more than 32 bits, or `rank` is none of `worldSize` ranks.
   */
  constructor(options: DistributedSamplerOptions) {
    checkOptions("DistributedSampler", OPTIONS, options);
    const { count, rank, worldSize, shuffle = true, seed = 0, dropLast = false } = options;
    for (const [name, value] of Object.entries({ count, rank, worldSize })) checkWhole(name, value);
    if (count >= 2 ** 32) throw new RangeError(`DistributedSampler: count must be below 2^32, got ${count}`);
    for (const [name, value] of Object.entries({ shuffle, dropLast })) checkFlag("DistributedSampler", name, value);
    checkSeed("DistributedSampler", seed);
    if (rank >= worldSize) {
      throw new RangeError(`DistributedSampler: there is no rank ${rank} among ${worldSize} ranks`);
    }
    this.#options = { count, rank, worldSize, shuffle, seed, dropLast };
    this.length = dropLast ? Math.floor(count / worldSize) : Math.ceil(count / worldSize);
  }

  /**
   * The next iterations go through the samples in the order of this epoch. Without it every epoch has the same order.
   * @throws RangeError if it is no whole number from 0 on.
   */
  setEpoch(epoch: number): void {
    checkWhole("epoch", epoch);
    this.#epoch = epoch;
  }

  /** The indices of this rank, in the order of this epoch. */
  *[Symbol.iterator](): Iterator<number> {
    const { count, rank, worldSize } = this.#options;
    const order = this.#order();
    for (let i = 0; i < this.length; i++) yield order[(rank + i * worldSize) % count] ?? 0;
  }

  /** All samples, in the order of the epoch. */
  #order(): Uint32Array | number[] {
    const { count, shuffle, seed } = this.#options;
    const order = Array.from({ length: count }, (_, i) => i);
    return shuffle ? new SeededRandom(seed, "DistributedSampler", this.#epoch).shuffle(order) : order;
  }
}

function checkWhole(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw new RangeError(`DistributedSampler: ${name} must be a whole number from 0 on, got ${value}`);
}

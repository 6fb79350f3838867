/** hashTensors: one number by which to tell whether tensors hold the same bytes. */
import { checkOptions, type OptionNames } from "../../option-checks.ts";
import { describeList } from "../../tensor/describe.ts";
import type { GpuDeviceLike, Tensor } from "../../types.ts";

/** Options of {@link hashTensors}. */
export interface HashTensorsOptions {
  /** The device of the tensors that lie in GPUBuffers, such as `group.device`. */
  device?: GpuDeviceLike | null;
}

const HASH_TENSORS_OPTIONS: OptionNames<HashTensorsOptions> = { device: true };

/**
 * XXH64 with the seed 0 (github.com/Cyan4973/xxHash) of the tensors' elements as little-endian bytes, one tensor behind the
 * other, as a bigint from 0 to 2^64 − 1. It is the same in every runtime and every memory: of host arrays, GPUBuffers and
 * CUDA memory. Dtypes, shapes and the ends of the tensors are not in it, and an empty list has the hash of no bytes.
 * The tensors must not change until it resolves.
 *
 * @throws TypeError or RangeError (as a rejection) if an entry is no tensor, or lies in a GPUBuffer and there is no `device`.
 */
export async function hashTensors(tensors: readonly Tensor[], options: HashTensorsOptions = {}): Promise<bigint> {
  checkOptions("hashTensors", HASH_TENSORS_OPTIONS, options);
  if (!Array.isArray(tensors)) throw new TypeError("hashTensors: tensors must be a list of tensors");
  const { openHashes, TensorHash } = await import("./tensor-hash.ts");
  return new TensorHash(await openHashes(), options.device ?? null).of(describeList(tensors, "hashTensors: tensors"));
}

/**
 * What a hook keeps for each bucket from one iteration to the next.
 */
import { describe } from "../../tensor/describe.ts";
import type { GradBucket } from "../grad-bucket.ts";

/**
 * One value for each bucket, made anew when the bucket has other gradients than before: buckets are rebuilt once. Values of numbers
 * behind the last bucket's are discarded with it.
 */
export class BucketStates<T> {
  readonly #states = new Map<number, { layout: string; value: T }>();
  readonly #discard: (value: T) => void;

  /** `discard` is told of each value that is no longer wanted. */
  constructor(discard: (value: T) => void = () => {}) {
    this.#discard = discard;
  }

  /** The value of `bucket`, made by `make` if there is none yet. */
  of(bucket: GradBucket, make: () => T): T {
    const layout = layoutOf(bucket);
    if (bucket.isLast()) this.#discardFrom(bucket.index() + 1);
    const known = this.#states.get(bucket.index());
    if (known?.layout === layout) return known.value;
    if (known) this.#discard(known.value);
    const value = make();
    this.#states.set(bucket.index(), { layout, value });
    return value;
  }

  /** Discards all values. */
  clear(): void {
    this.#discardFrom(0);
  }

  #discardFrom(first: number): void {
    for (const [index, { value }] of this.#states) {
      if (index < first) continue;
      this.#states.delete(index);
      this.#discard(value);
    }
  }
}

/** Equal for buckets of gradients of the same shapes at the same places. */
function layoutOf(bucket: GradBucket): string {
  const { dtype, memory, count } = describe(bucket.buffer());
  return [
    dtype,
    memory,
    count,
    ...offsetsOf(bucket),
    ...bucket.parameters().map(({ shape }) => shape.join("x")),
  ].join();
}

/** The first element of each gradient in the bucket's buffer. */
export function offsetsOf(bucket: GradBucket): number[] {
  const { byteOffset, byteLength, count } = describe(bucket.buffer());
  const width = count === 0 ? 1 : byteLength / count;
  return bucket.gradients().map(({ tensor }) => (describe(tensor).byteOffset - byteOffset) / width);
}

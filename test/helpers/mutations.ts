/** Bytes that were right and are not any more. */
import fc from "fast-check";

/** One of `valid` with bits flipped, cut off, with bytes put in or taken out; a few stay right. */
export function mutated(valid: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  return fc.constantFrom(...valid).chain((bytes) => {
    const at = fc.nat(Math.max(0, bytes.length - 1));
    return fc.oneof(
      fc.constant(bytes),
      at.map((end) => bytes.slice(0, end)),
      fc.array(fc.tuple(at, fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 4 }).map((flips) => {
        const changed = bytes.slice();
        for (const [index, bits] of flips) changed[index]! ^= bits;
        return changed;
      }),
      fc.tuple(at, fc.nat(8), fc.uint8Array({ maxLength: 12 })).map(([index, taken, put]) => {
        const rest = bytes.subarray(Math.min(bytes.length, index + taken));
        return Uint8Array.from([...bytes.subarray(0, index), ...put, ...rest]);
      }),
    );
  });
}

/** The same draws at every run. */
export function drawn<T>(arbitrary: fc.Arbitrary<T>, count: number): T[] {
  return fc.sample(arbitrary, { numRuns: count, seed: 20_261_128 });
}

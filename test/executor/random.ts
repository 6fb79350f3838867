/**
 * Random bit patterns, from a seed that is new in each run and printed; WEBCCL_TEST_SEED repeats a run.
 */
import { bytesPerElement, type DataType } from "../../src/types.ts";

const given = process.env.WEBCCL_TEST_SEED;
export const SEED = given === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(given);

/** A generator of whole numbers from 0 to 2^32 - 1 (xorshift32). */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Bits of the exponent field, from the top of the last byte down, without the sign. */
const EXPONENT_BITS: Partial<Record<DataType, number>> = { f16: 5, bf16: 8, f32: 8, f64: 11 };

/**
 * `count` elements of random bits. Of floats, one in eight gets an exponent of all ones (Inf, NaN) and one in eight of
 * all zeros (subnormal, zero); a quarter of those has no fraction.
 */
export function randomElements(dtype: DataType, count: number, random: () => number): Uint8Array {
  const width = bytesPerElement(dtype);
  const bytes = new Uint8Array(count * width);
  for (let i = 0; i < bytes.length; i++) bytes[i] = random() >>> 11;
  const exponentBits = EXPONENT_BITS[dtype];
  if (exponentBits === undefined) return bytes;
  const mask = ((1 << exponentBits) - 1) << (15 - exponentBits);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += width) {
    const kind = random() >>> 27;
    if (kind >= 8) continue;
    if (kind % 4 === 0) bytes.fill(0, at, at + width - 2);
    const top = view.getUint16(at + width - 2, true);
    const kept = kind % 4 === 0 ? top & 0x8000 : top & ~mask;
    view.setUint16(at + width - 2, kind < 4 ? kept | mask : kept, true);
  }
  return bytes;
}

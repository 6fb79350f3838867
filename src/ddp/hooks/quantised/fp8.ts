/**
 * Gradients in 8 bits on the wire: f8e4m3, with one scale for the bucket that all ranks agree on.
 *
 *     m = the largest finite magnitude of the bucket on any rank (an allReduce with MAX, of one f32)
 *     s = the largest power of two with N · m · s ≤ 448, the largest f8e4m3; 1 if m is 0
 *     result = sum over the ranks of f8(x · s), each step rounded to f8e4m3, divided by N · s
 *
 * So the sum does not overflow (past 448 it saturates, by less than one rounding), and elements above m · N / 2^17 do not
 * vanish. An element has 4 bits of precision, and 3 more steps of rounding with every doubling of the ranks: this is for
 * gradients that tolerate it. Nothing is kept from one step to the next. An element that is NaN or Inf on any rank is NaN.
 *
 * Bytes: one allReduce of 1 byte per element, and one of 4 bytes.
 * Source: P. Micikevicius et al. 2022, "FP8 Formats for Deep Learning", arXiv:2209.05433.
 */
import { f8ToF32, f32ToF8 } from "../../executor/cpu/float8.ts";
import type { ProcessGroup } from "../../group/process-group.ts";
import type { TurnPart } from "../../group/turns.ts";
import type { CommHook } from "../comm-hook.ts";
import { inTurnOf } from "./bucket-turn.ts";
import { compressible, readGradients, writeGradients } from "./gradients.ts";

const LARGEST = 448;
const DTYPE = "f8e4m3";
const VALUES = Float32Array.from({ length: 256 }, (_, bits) => f8ToF32(DTYPE, bits));

let table: Uint8Array | undefined;

/**
 * The f8e4m3 of every f32, by the upper half of its bits and whether the lower half has any bit: f8e4m3 keeps 3 bits of a fraction, the
 * upper half has 7, and of the others rounding asks only whether they are all 0.
 */
function narrowTable(): Uint8Array {
  if (table) return table;
  const bits = new Uint32Array(1);
  const float = new Float32Array(bits.buffer);
  table = Uint8Array.from({ length: 2 ** 17 }, (_, key) => {
    bits[0] = ((key >>> 1) << 16) | (key & 1);
    return f32ToF8(DTYPE, Number.isFinite(float[0]!) ? float[0]! : Number.NaN);
  });
  return table;
}

/** The values times `scale` as f8e4m3, to nearest, ties to even; what is not finite is NaN. */
export function narrowScaled(values: Float32Array, scale: number): Uint8Array<ArrayBuffer> {
  const narrow = narrowTable();
  const bits = new Uint32Array(1);
  const float = new Float32Array(bits.buffer);
  const result = new Uint8Array(values.length);
  for (let i = 0; i < result.length; i++) {
    float[0] = values[i]! * scale;
    result[i] = narrow[((bits[0]! >>> 16) << 1) | (bits[0]! & 0xffff ? 1 : 0)]!;
  }
  return result;
}

/**
 * The bucket's average by way of f8e4m3. The state is the group.
 * @throws TypeError if the bucket's dtype is not f16, bf16, f32 or f64. @throws UnsupportedError if it is in CUDA memory.
 */
export const fp8CompressHook: CommHook<ProcessGroup> = async (group, bucket) => {
  const view = compressible("fp8CompressHook", group, bucket.buffer());
  await inTurnOf(group, bucket, async (part) => {
    const values = await readGradients(group, view);
    const scale = await agreedScale(group, part, values);
    const compressed = { data: narrowScaled(values, scale), dtype: DTYPE } as const;
    await group.allReduce(compressed, part);
    const result = new Float32Array(values.length);
    for (let i = 0; i < result.length; i++) result[i] = VALUES[compressed.data[i]!]! / (group.size * scale);
    await writeGradients(group, view, result);
  });
  return bucket.buffer();
};

/** A power of two: the product with it is exact. */
async function agreedScale(group: ProcessGroup, part: TurnPart, values: Float32Array): Promise<number> {
  const most = new Float32Array(1);
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]!);
    if (magnitude > most[0]! && magnitude < Number.POSITIVE_INFINITY) most[0] = magnitude;
  }
  await group.allReduce(most, { ...part, op: "max" });
  return powerOfTwoBelow(LARGEST / (group.size * most[0]!));
}

/** The largest power of two that is at most `value`; 1 for Infinity. */
function powerOfTwoBelow(value: number): number {
  if (!Number.isFinite(value)) return 1;
  let power = 2 ** Math.floor(Math.log2(value));
  // Math.log2 may be wrong in its last bit, and differ between runtimes.
  if (power > value) power /= 2;
  else if (power * 2 <= value) power *= 2;
  return power;
}

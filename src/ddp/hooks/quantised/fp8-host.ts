/** The gradients of a bucket in host memory: the loops of fp8CompressHook's steps. */
import { f32ToF8 } from "../../../executor/cpu/float8.ts";
import type { Tensor } from "../../../types.ts";
import { DTYPE, type Floats8, largestOf } from "./fp8-floats.ts";

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

/** See the file's head. */
export class HostFloats8 implements Floats8 {
  readonly #values: Float32Array;
  #compressed: Uint8Array = new Uint8Array();

  constructor(values: Float32Array) {
    this.#values = values;
  }

  async largest(): Promise<number> {
    return largestOf(this.#values);
  }

  encode(scale: number): Tensor {
    this.#compressed = narrowScaled(this.#values, scale);
    return { data: this.#compressed, dtype: DTYPE };
  }

  decode(table: Float32Array): void {
    const [values, compressed] = [this.#values, this.#compressed];
    for (let i = 0; i < values.length; i++) values[i] = table[compressed[i]!]!;
  }

  discard(): void {}
}

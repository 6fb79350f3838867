/**
 * The arithmetic id: a hash over the bits that a set of kernels gives for inputs on which implementations are known to
 * differ. Ranks whose ids are equal compute equal bits, and may compute the same element side by side.
 *
 * Inputs are the full product of a list of special values with itself: rounding ties and their neighbours, subnormals,
 * the ends of the range, both zeros, both infinities, and NaNs with several payloads. PREMUL_SUM is done on top: a
 * kernel that fuses its product into its sum gives other bits.
 */
import { HostSpan } from "./cpu/host-span.ts";
import type { FoldName, Kernels } from "./cpu/kernels.ts";

type FloatType = "f16" | "bf16" | "f32" | "f64";

/** Bit patterns of positive values of each type, in hexadecimal; each is also taken with its sign set. */
const PATTERNS: Readonly<Record<FloatType, string>> = {
  f16: "0 1 3ff 400 1001 1400 2e66 3555 3c00 3c01 4248 6800 6801 7bff 7c00 7c01 7e00 7fff",
  bf16: "0 1 7f 80 2001 3dcd 3eab 3f7f 3f80 3f81 4049 4380 4381 7f7f 7f80 7f81 7fc0 7fff",
  f32: "0 1 7fffff 800000 20000001 33800000 33800001 3dcccccd 3eaaaaab 3f7fffff 3f800000 3f800001 40490fdb 4b800000 4b800001 7f7fffff 7f800000 7f800001 7fc00000 7fffffff",
  f64: "0 fffffffffffff 10000000000000 2000000000000001 3ca0000000000000 3ca0000000000001 3fb999999999999a 3fd5555555555555 3fefffffffffffff 3ff0000000000000 3ff0000000000001 400921fb54442d18 4340000000000000 4340000000000001 7fefffffffffffff 7ff0000000000000 7ff0000000000001 7ff8000000000000 7fffffffffffffff",
};

const BITS: Readonly<Record<FloatType, number>> = { f16: 16, bf16: 16, f32: 32, f64: 64 };
const FLOAT_TYPES = ["f16", "bf16", "f32", "f64"] as const;
const FOLDS: readonly FoldName[] = ["sum", "product", "min", "max"];
/** 1/3 as an f32: AVG's factor at three ranks, and inexact. */
export const SELF_TEST_FACTOR = Math.fround(1 / 3);

/** The full product of all patterns with both signs: the bytes of each pair's left and right side. */
function product(dtype: FloatType): Record<"left" | "right", Uint8Array> {
  const signBit = 1n << BigInt(BITS[dtype] - 1);
  const positive = PATTERNS[dtype].split(" ").map((digits) => BigInt(`0x${digits}`));
  const width = BITS[dtype] / 8;
  const values = positive
    .flatMap((pattern) => [pattern, pattern | signBit])
    .map((pattern) => new Uint8Array(BigUint64Array.of(pattern).buffer, 0, width));
  const bytes = values.length ** 2 * width;
  const [left, right] = [new Uint8Array(bytes), new Uint8Array(bytes)];
  let at = 0;
  for (const a of values) {
    for (const b of values) {
      left.set(a, at);
      right.set(b, at);
      at += width;
    }
  }
  return { left, right };
}

/** One row of the self-test: a fold of `left` and `right`, or PREMUL_SUM, each times {@link SELF_TEST_FACTOR}. */
export interface SelfTestRow {
  readonly dtype: FloatType;
  readonly name: FoldName | "premul-sum";
  readonly left: HostSpan;
  readonly right: HostSpan;
}

/** The rows, in the order in which their results are hashed. Operands are new in each. */
export function* selfTestRows(): Generator<SelfTestRow> {
  for (const dtype of FLOAT_TYPES) {
    const { left, right } = product(dtype);
    const copyOf = (bytes: Uint8Array) => HostSpan.outside(dtype, bytes.slice());
    for (const name of [...FOLDS, "premul-sum"] as const) {
      yield { dtype, name, left: copyOf(left), right: copyOf(right) };
    }
  }
}

/** A row's result from `kernels`. The operands are changed. */
export function selfTestAnswer(kernels: Kernels, { dtype, name, left, right }: SelfTestRow): Uint8Array {
  const target = HostSpan.outside(dtype, new Uint8Array(left.byteLength));
  if (name === "premul-sum") {
    kernels.scale(left, SELF_TEST_FACTOR);
    kernels.scale(right, SELF_TEST_FACTOR);
    kernels.fold("sum", target, left, right);
  } else {
    kernels.fold(name, target, left, right);
  }
  return target.bytes;
}

/** Sixteen hexadecimal digits for the results of all rows: FNV-1a in two halves of 32 bits, whose prime is 2^40 + 0x1b3. */
export function arithmeticIdFrom(answers: Iterable<Uint8Array>): string {
  let high = 0xcbf29ce4;
  let low = 0x84222325;
  for (const answer of answers) {
    for (const byte of answer) {
      low = (low ^ byte) >>> 0;
      const product = low * 0x1b3;
      high = (Math.imul(high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8)) >>> 0;
      low = product >>> 0;
    }
  }
  return [high, low].map((half) => half.toString(16).padStart(8, "0")).join("");
}

/** The arithmetic id of `kernels`: sixteen hexadecimal digits. A few milliseconds. */
export function arithmeticIdOf(kernels: Kernels): string {
  return arithmeticIdFrom([...selfTestRows()].map((row) => selfTestAnswer(kernels, row)));
}

/**
 * Every result that an 8-bit float can have: each operation on all 65,536 pairs of elements, by an executor and by the
 * reference. No runtime's name in here: vitest runs these cases in Node, a script runs them in Deno.
 */
import type { Executor, Span } from "../../src/executor/executor.ts";
import { ReduceOp } from "../../src/reduce-op.ts";
import type { Float8 } from "../../src/types.ts";
import { referenceFold, referenceMap } from "./reference.ts";

export const FLOAT8_TYPES = ["f8e4m3", "f8e5m2"] as const satisfies readonly Float8[];

/** All pairs: the left and the right elements. */
const LEFT = Uint8Array.from({ length: 65_536 }, (_, pair) => pair >> 8);
const RIGHT = Uint8Array.from({ length: 65_536 }, (_, pair) => pair & 0xff);

/** Factors of PREMUL_SUM: some that round, some that overflow, some that leave only zeros. None is an f32 that a GPU flushes. */
const FACTORS = [1, -2, 0.3, 1 / 3, 1e-3, 2 ** -20, 2 ** -126, 1e6, 3e38, 0, -0, Infinity, Number.NaN];
const SIZES = [1, 2, 3, 5, 7, 8, 1000];

/** a - b, as no operation of ours is. */
const MINUS = ReduceOp.custom({
  ...{ name: "minus", wgsl: "a - b", identity: 0, commutative: false },
  js: (a: number, b: number) => a - b,
});

/** An operation, the size of the group in which it runs, and the right results. */
interface Float8Case {
  readonly name: string;
  readonly op: ReduceOp;
  readonly size: number;
  expected(): Uint8Array;
}

/** The cases of one type. */
export function* float8Cases(dtype: Float8): Generator<Float8Case> {
  for (const name of ["sum", "product", "min", "max"] as const) {
    const op = ReduceOp[name.toUpperCase() as "SUM"];
    yield { name, op, size: 2, expected: () => referenceFold(name, dtype, LEFT, RIGHT) };
  }
  const scaledSum = (factor: number) => {
    const scaled = (input: Uint8Array) => referenceMap(dtype, input, (x) => x * Math.fround(factor), asItIs);
    return referenceFold("sum", dtype, scaled(LEFT), scaled(RIGHT));
  };
  for (const size of SIZES) {
    yield { name: `avg of ${size}`, op: ReduceOp.AVG, size, expected: () => scaledSum(1 / size) };
  }
  for (const factor of FACTORS) {
    yield {
      name: `premul-sum by ${factor}`,
      op: ReduceOp.premulSum(factor),
      size: 2,
      expected: () => scaledSum(factor),
    };
  }
  // The sign of b is turned, of a NaN too: the result is the canonical one whatever its sign.
  const negated = RIGHT.map((bits) => bits ^ 0x80);
  yield { name: "custom minus", op: MINUS, size: 2, expected: () => referenceFold("sum", dtype, LEFT, negated) };
}

const asItIs = (x: bigint) => x;

/** The first result of an executor that is not the `expected` one, in words; empty if there is none. */
export async function float8Difference(
  executor: Executor,
  dtype: Float8,
  { name, op, size }: Float8Case,
  expected: Uint8Array,
): Promise<string> {
  const [left, right] = [executor.scratch(dtype, 65_536), executor.scratch(dtype, 65_536)];
  await fill(executor, left, LEFT);
  await fill(executor, right, RIGHT);
  await executor.admit([left, right], op);
  executor.reduce(op, left, executor.prepare(op, left, size), executor.prepare(op, right, size));
  executor.finish(op, left, size);
  const lease = await executor.read(left);
  const at = expected.findIndex((bits, pair) => lease.bytes[pair] !== bits);
  const hex = (bits: number | undefined) => `0x${(bits ?? 0).toString(16).padStart(2, "0")}`;
  const difference =
    at < 0
      ? ""
      : `${name} of ${dtype} on ${executor.name}: ${hex(LEFT[at])} and ${hex(RIGHT[at])} give ${hex(lease.bytes[at])} ` +
        `in place of ${hex(expected[at])}`;
  lease.release();
  executor.release(left);
  executor.release(right);
  return difference;
}

async function fill(executor: Executor, span: Span, bytes: Uint8Array): Promise<void> {
  const lease = executor.receive(span);
  lease.bytes.set(bytes);
  await executor.write(span, lease);
}

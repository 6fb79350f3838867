/**
 * The arithmetic id of a GPU: the rows of self-test.ts, computed by the GPU's kernels. Rows that no GPU computes, sums and
 * products of f64, take the answers of the plain loops, so that a GPU whose other answers are the cpu's has the cpu's id.
 */

import { DeviceLostError } from "../../errors.ts";
import { ReduceOp } from "../../reduce-op.ts";
import { textOf } from "../../support/thrown.ts";
import { PlainLoops } from "../cpu/plain-loops.ts";
import type { Executor } from "../executor.ts";
import { arithmeticIdFrom, SELF_TEST_FACTOR, type SelfTestRow, selfTestAnswer, selfTestRows } from "../self-test.ts";

/** The outcome of the self-test on a device. */
export interface Arithmetic {
  id: string;
  f16: "native" | "packed";
  /** Why f16 is packed. */
  f16Note: string;
}

const OPS = {
  sum: ReduceOp.SUM,
  product: ReduceOp.PRODUCT,
  min: ReduceOp.MIN,
  max: ReduceOp.MAX,
  "premul-sum": ReduceOp.premulSum(SELF_TEST_FACTOR),
} as const;

/** A row's result from a GPU. */
async function gpuAnswer(executor: Executor, { dtype, name, left, right }: SelfTestRow): Promise<Uint8Array> {
  const op = OPS[name as keyof typeof OPS];
  const [a, b] = [executor.scratch(dtype, left.count), executor.scratch(dtype, right.count)];
  for (const [span, { bytes }] of [
    [a, left],
    [b, right],
  ] as const) {
    const lease = executor.receive(span);
    lease.bytes.set(bytes);
    await executor.write(span, lease);
  }
  executor.reduce(op, a, executor.prepare(op, a, 1), executor.prepare(op, b, 1));
  const lease = await executor.read(a);
  const answer = lease.bytes.slice();
  lease.release();
  executor.release(a);
  executor.release(b);
  return answer;
}

function isOnGpu({ dtype, name }: SelfTestRow): boolean {
  return dtype !== "f64" || name === "min" || name === "max";
}

/** Some tens of milliseconds: fifteen kernels are compiled. */
export async function arithmeticIdOfGpu(executor: Executor): Promise<string> {
  const plain = new PlainLoops("rows that a GPU cannot do");
  const rows = [...selfTestRows()];
  return arithmeticIdFrom(
    await Promise.all(rows.map((row) => (isOnGpu(row) ? gpuAnswer(executor, row) : selfTestAnswer(plain, row)))),
  );
}

/** Empty if the device's own f16 gives the bits of the packed kernels; else the difference in words. */
export async function faultOfNativeF16(native: Executor, packed: Executor): Promise<string> {
  const rows = [...selfTestRows()].filter(({ dtype }) => dtype === "f16");
  try {
    for (const row of rows) {
      const [own, wanted] = await Promise.all([gpuAnswer(native, row), gpuAnswer(packed, row)]);
      if (own.some((byte, i) => byte !== wanted[i])) return `its ${row.name} of f16 rounds in another way`;
    }
    return "";
  } catch (error) {
    if (error instanceof DeviceLostError) throw error;
    // Settling reports the failure once more, and with that it is over.
    const failure = await native.settled().then(
      () => error,
      (reported: unknown) => reported,
    );
    return textOf(failure);
  }
}

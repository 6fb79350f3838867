/**
 * Custom operations on one rank of a mixed group, in whatever runtime: its tensors lie in GPU memory if it has a device,
 * else they are host arrays.
 */
import { MismatchError } from "../../../src/errors.ts";
import type { ProcessGroup } from "../../../src/group/process-group.ts";
import { ReduceOp } from "../../../src/reduce-op.ts";
import { digest, gpuMemory, hostMemory } from "../../../src/testing/index.ts";
import type { DataType, HostArray, Tensor } from "../../../src/types.ts";

export const COUNT = 10_007;

const logSumExp = {
  name: "log-sum-exp",
  wgsl: "max(a, b) + log(1.0 + exp(-abs(a - b)))",
  js: (a: number, b: number) => Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b))),
  identity: Number.NEGATIVE_INFINITY,
  commutative: true,
};

/** u64 with the value in the upper half and its index in the lower one; of equal values, the lower index. */
const argMax = {
  name: "arg-max",
  wgsl: "select(b, a, a.y > b.y || (a.y == b.y && a.x <= b.x))",
  js: (a: bigint, b: bigint) => {
    const [left, right] = [a >> 32n, b >> 32n];
    return left > right || (left === right && BigInt.asUintN(32, a) <= BigInt.asUintN(32, b)) ? a : b;
  },
  identity: 0n,
  commutative: true,
};

/** Inputs of rank `rank`, the same in every runtime. */
const logits = (rank: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: COUNT }, (_, i) => ((i * 37 + rank * 101) % 211) / 16 - 6);
export const scores = (rank: number): BigUint64Array<ArrayBuffer> =>
  BigUint64Array.from(
    { length: COUNT },
    (_, i) => (BigInt((i * 61 + rank * 89) % 97) << 32n) | BigInt(rank * COUNT + i),
  );

/** What one rank found. */
export interface MixedReport {
  rank: number;
  executor: string;
  /** SHA-256 of the results. */
  logSumExp: string;
  argMax: string;
  /** Of the log-sum-exp, against doubles. */
  largestError: number;
  /** The messages of the mismatches; "" for one that did not reject so. */
  mismatches: string[];
  /** SHA-256 of a sum after all that. */
  afterwards: string;
}

/** Runs this rank's part. */
export async function runCustomOps(group: ProcessGroup): Promise<MixedReport> {
  const { rank, size, device } = group;
  const memory = device ? gpuMemory(device) : hostMemory;
  /** Runs `call` on a tensor of `data` and gives back what it then holds. */
  const onTensor = async (dtype: DataType, data: HostArray, call: (tensor: Tensor) => PromiseLike<unknown>) => {
    const start = memory.startOf(dtype);
    const region = new Uint8Array(Math.ceil((start + data.byteLength) / 8) * 8);
    region.set(new Uint8Array(data.buffer), start);
    const placed = memory.place(dtype, region, start, start + data.byteLength);
    await call(placed.tensor);
    const [after] = await memory.collect([placed]);
    return after!.slice(start, start + data.byteLength);
  };
  const reduced = (dtype: DataType, data: HostArray, op: ReduceOp) =>
    onTensor(dtype, data, (tensor) => group.allReduce(tensor, { op }));

  const [lse, best] = [ReduceOp.custom(logSumExp), ReduceOp.custom(argMax)];
  const sums = await reduced("f32", logits(rank), lse);
  const winners = await reduced("u64", scores(rank), best);
  const all = Array.from({ length: size }, (_, peer) => logits(peer));
  const values = new Float32Array(sums.buffer);
  const largestError = values.reduce((largest, value, i) => {
    const exact = Math.log(all.reduce((sum, one) => sum + Math.exp(one[i]!), 0));
    return Math.max(largest, Math.abs(value - exact) / Math.abs(exact));
  }, 0);

  // The last rank says something else: another name, then another expression.
  const isLast = rank === size - 1;
  const mismatches: string[] = [];
  for (const other of [{ name: "other" }, { wgsl: `(${logSumExp.wgsl})` }]) {
    const op = ReduceOp.custom(isLast ? { ...logSumExp, ...other } : logSumExp);
    const error = await reduced("f32", logits(rank), op).catch((reason: unknown) => reason);
    mismatches.push(error instanceof MismatchError ? error.message : "");
  }
  const afterwards = await reduced("f32", logits(rank), ReduceOp.SUM);
  const { executors } = group.info();
  return {
    rank,
    executor: executors.at(-1)!.name,
    logSumExp: await digest([sums]),
    argMax: await digest([winners]),
    largestError,
    mismatches,
    afterwards: await digest([afterwards]),
  };
}

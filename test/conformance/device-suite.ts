/**
 * The collective suite on GPUBuffers, in whatever runtime: ranks that are tasks of one thread, each on a device of its own,
 * or all on one. What a runtime adds is how it joins a group.
 */
import type { InitOptions, InternalOptions } from "../../src/bring-up/init-options.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import {
  CASE_COLLECTIVES,
  CASE_OPS,
  CaseData,
  type CaseOp,
  conformanceCase,
  gpuMemory,
  isCase,
  opFits,
  PERSISTENT_CASES,
  pairwiseCover,
} from "../../src/testing/index.ts";
import { DATA_TYPES, type DataType } from "../../src/types.ts";
import { judge, runCases } from "./run-cases.ts";

/** A runtime's `initProcessGroup`. */
export type Init = (options: InitOptions & InternalOptions) => Promise<ProcessGroup>;

const FACTORS = {
  devices: ["own", "shared"],
  size: [2, 3],
  collective: CASE_COLLECTIVES,
  dtype: DATA_TYPES,
  op: [...CASE_OPS, null],
  count: [0, 1, 3, 17, 1000, 20_001],
  persistent: [false, true],
} as const;
const PLACES = FACTORS.devices.flatMap((devices) => FACTORS.size.map((size) => ({ devices, size })));
/** So that the longest tensors are several segments. */
const SEGMENT_BYTES = 16_384;

/** What a runtime did. */
export interface DeviceReport {
  seed: number;
  cases: number;
  /** Pairs of dtype and operation that were reduced or refused, of {@link DTYPE_OP_PAIRS}. */
  pairs: number;
  /** What the GPU executor says of itself. */
  executor: string;
}

/** Pairs of dtype and operation that there are. */
export const DTYPE_OP_PAIRS = DATA_TYPES.flatMap((dtype) => CASE_OPS.filter((op) => opFits(op, dtype))).length;
/** Every collective on every dtype needs a case of its own. */
export const LEAST_CASES = CASE_COLLECTIVES.flatMap((name) =>
  DATA_TYPES.filter((dtype) => FACTORS.op.some((op) => isCase(name, dtype, op, 3))),
).length;

/**
 * Runs a pairwise cover of everything.
 * @throws Error that lists wrong results, or whatever a collective rejected with.
 */
export async function runDeviceSuite(init: Init, seed: number): Promise<DeviceReport> {
  const cover = pairwiseCover(FACTORS, seed, makesSense);
  const pairs = new Set(cover.filter(({ op }) => op !== null).map(({ dtype, op }) => `${dtype} ${op}`));
  const name = `device-suite-${seed}`;
  const alone = await init({ initMethod: `memory://${name}`, rank: 0, worldSize: 1, backend: "webgpu" });
  const { device } = alone;
  if (!device) throw new Error('backend "webgpu" gave no device');
  let cases = 0;
  try {
    for (const { devices, size } of PLACES) {
      const rows = cover.filter((row) => row.devices === devices && row.size === size);
      const options = devices === "shared" ? { device } : { backend: "webgpu" as const };
      cases += await runPlace(
        init,
        { ...options, initMethod: `memory://${name}-${devices}-${size}` },
        size,
        rows,
        seed,
      );
    }
    const executor = alone.info().executors.find((one) => one.name === "webgpu")!.description;
    return { seed, cases, pairs: pairs.size, executor };
  } finally {
    await alone.destroy();
  }
}

type Row = ReturnType<typeof pairwiseCover<typeof FACTORS>>[number];

async function runPlace(
  init: Init,
  options: InitOptions,
  size: number,
  rows: readonly Row[],
  seed: number,
): Promise<number> {
  const data = new CaseData();
  const cases = rows.map((row, index) => conformanceCase({ ...row, seed: seed + index, inputs: "normal" }, data));
  const reports = await Promise.all(
    Array.from({ length: size }, async (_, rank) => {
      const more = { rank, worldSize: size, segmentBytes: SEGMENT_BYTES, timeoutMs: 60_000 };
      const group = await init({ ...options, ...more });
      try {
        return await runCases(group, cases, gpuMemory(group.device!));
      } finally {
        await group.destroy();
      }
    }),
  );
  return judge(reports, cases);
}

/** Which pairs of the cover make sense, each by the factors it names. */
function makesSense(pair: Readonly<Record<string, unknown>>): boolean {
  const { collective, dtype, op, persistent } = pair as {
    collective?: string;
    dtype?: DataType;
    op?: CaseOp | null;
    persistent?: boolean;
  };
  if (collective && persistent) return PERSISTENT_CASES.includes(collective);
  if (dtype && op) return opFits(op, dtype);
  if (collective === undefined) return true;
  return DATA_TYPES.some(
    (someType) =>
      (dtype === undefined || someType === dtype) &&
      FACTORS.op.some((someOp) => (op === undefined || someOp === op) && isCase(collective, someType, someOp, 3)),
  );
}

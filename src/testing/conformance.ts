/**
 * The conformance suite of a process group: every collective on every dtype, operation and length, compared with an
 * independent reference. It is for any backend, transport and runtime, and for any test runner: a case is a function
 * that every rank calls with its group, and that throws where the group is wrong.
 */
import { UnsupportedError } from "../errors.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { DATA_TYPES, type DataType } from "../types.ts";
import { CaseData, type Inputs } from "./case-data.ts";
import { CASE_OPS, type CaseOp, opFits } from "./case-op.ts";
import { type CollectiveCase, TENSOR_COLLECTIVES } from "./collectives.ts";
import { GROUP_CASES } from "./group-cases.ts";
import { hostMemory, type TestMemory } from "./memory.ts";
import { type CaseResult, type CaseSpec, ConformanceError, nameOf, Stage } from "./stage.ts";

const COLLECTIVES: Readonly<Record<string, CollectiveCase>> = { ...TENSOR_COLLECTIVES, ...GROUP_CASES };

/** Every collective of the suite, some in more than one way of calling. */
export const CASE_COLLECTIVES: readonly string[] = Object.keys(COLLECTIVES);

/** Those of them that may run as persistent calls. */
export const PERSISTENT_CASES: readonly string[] = [
  ...Object.keys(TENSOR_COLLECTIVES),
  ...CASE_COLLECTIVES.filter((name) => COLLECTIVES[name]?.persistent),
];

/** Lengths around the ends of vectors, of segments and of nothing. */
export const CASE_COUNTS: readonly number[] = [0, 1, 3, 17, 1000, 65537];

/** One case. */
export interface ConformanceCase {
  /** The case as it was asked for. */
  readonly spec: CaseSpec;
  /** The case in words. */
  readonly name: string;
  /**
   * Runs this rank's part. Every rank of the group calls it for the same cases in the same order.
   * Tensors live in `memory`, host arrays by default; a call that cannot be reduced there must be refused, and change nothing.
   * @throws ConformanceError that names the case, the rank and the first wrong element; or the error of a collective.
   */
  run(group: ProcessGroup, memory?: TestMemory): Promise<CaseResult>;
}

/**
 * The case that `spec` names. Cases with the same `data` share inputs and results computed once.
 * @throws RangeError if there is no such case.
 */
export function conformanceCase(
  spec: CaseSpec,
  data: CaseData = new CaseData(),
  { moves = true }: Pick<CaseFilter, "moves"> = {},
): ConformanceCase {
  const collective = COLLECTIVES[spec.collective];
  const exists = collective && isCase(spec.collective, spec.dtype, spec.op, collective.ranks ?? 1);
  if (!exists || (spec.persistent && !PERSISTENT_CASES.includes(spec.collective))) {
    throw new RangeError(`no such case: ${nameOf(spec)}`);
  }
  return {
    spec,
    name: nameOf(spec),
    async run(group, memory = hostMemory) {
      const stage = new Stage({ group, spec, data, memory });
      if (spec.op !== null && !memory.reduces(spec.dtype, spec.op)) return refused(stage, collective);
      await collective.run(stage);
      return moves ? stage.finish() : stage.finishUnchanged();
    },
  };
}

/** The call must reject and say which executor can. Where a case makes several, all but the refused ones end first. */
async function refused(stage: Stage, collective: CollectiveCase): Promise<CaseResult> {
  const error = await collective.run(stage).then(
    () => null,
    (reason: unknown) => reason,
  );
  await stage.group.waitForPendingWorks();
  if (error === null) throw new ConformanceError(`${nameOf(stage.spec)}: must be refused, and was not`);
  if (!(error instanceof UnsupportedError)) throw error;
  stage.equal("the error names who can", /the \w+ executor can/.test(error.message), true);
  return stage.finishRefused();
}

/** Is this a case for a group of `size` ranks? `op` is null exactly if nothing is reduced. */
export function isCase(name: string, dtype: DataType, op: CaseOp | null, size: number): boolean {
  const collective = COLLECTIVES[name];
  if (!collective || size < (collective.ranks ?? 1)) return false;
  if (collective.dtypes && !collective.dtypes.includes(dtype)) return false;
  if (op === null || !collective.reduces) return (op === null) !== collective.reduces;
  return opFits(op, dtype) && !collective.without?.includes(op);
}

/** Which cases {@link conformanceCases} makes. An absent field means all. */
export interface CaseFilter {
  /** Names of CASE_COLLECTIVES. */
  collectives?: readonly string[];
  /** Types of the elements. */
  dtypes?: readonly DataType[];
  /** Operations, of the calls that reduce. */
  ops?: readonly CaseOp[];
  /** Numbers of elements. */
  counts?: readonly number[];
  /** Ranks of the group the cases are for. Default: 2. */
  size?: number;
  /** Default: 1. */
  seed?: number;
  /** Default: "exact". */
  inputs?: Inputs;
  /** As persistent calls; cases that cannot be are left out. Default: false. */
  persistent?: boolean;
  /** False: of a backend that moves nothing, all of whose tensors stay as they are. Default: true. */
  moves?: boolean;
}

/** The full product of collective, dtype, operation and count. */
export function* conformanceCases(filter: CaseFilter = {}): Generator<ConformanceCase> {
  const { collectives = CASE_COLLECTIVES, dtypes = DATA_TYPES, ops = CASE_OPS, size = 2, seed = 1 } = filter;
  const { inputs = "exact", persistent = false } = filter;
  // From the longest down, so that shorter inputs and results are parts of longer ones.
  const counts = [...(filter.counts ?? CASE_COUNTS)].sort((a, b) => b - a);
  const data = new CaseData();
  for (const dtype of dtypes) {
    for (const op of [...ops, null]) {
      for (const count of counts) {
        for (const collective of collectives) {
          if (persistent && !PERSISTENT_CASES.includes(collective)) continue;
          if (isCase(collective, dtype, op, size))
            yield conformanceCase({ collective, dtype, op, count, seed, inputs, persistent }, data, filter);
        }
      }
    }
  }
}

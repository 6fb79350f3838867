/** Sessions whose weights are cut by columns: each rank's output has a part of the columns. */
import type { ProcessGroup } from "../group/process-group.ts";
import { checkOptions, type OptionNames } from "../option-checks.ts";
import { COLLECTIVE_OPTIONS, type CollectiveOptions } from "../options.ts";
import { checkColumns, type Gathering, prepareGather } from "./gather-columns.ts";
import type { OrtOutput, OrtSession, OrtTensorClass } from "./onnx-runtime.ts";
import { disposeOf, type Outputs, outputIn, outputNamesOf, runAndCollect } from "./run-session.ts";

/** Options of {@link runColumnParallel}. */
export interface ColumnParallelOptions<T> extends CollectiveOptions {
  /** `ort.Tensor`, of which the results are made. */
  Tensor: OrtTensorClass<T>;
  /** The output that is gathered, the same on all ranks. Default: the session's only one. */
  output?: string;
  /** The columns of each rank's output, as `shardLengths` gives them. Default: as many as this rank's, on every rank. */
  columns?: readonly number[];
}

const COLUMN_PARALLEL_OPTIONS: OptionNames<ColumnParallelOptions<unknown>> = {
  ...COLLECTIVE_OPTIONS,
  Tensor: true,
  output: true,
  columns: true,
};

/**
 * Runs `session` with `feeds` and joins an output of the ranks of `group` along its last axis, in rank order, as Concat would.
 * Resolves to the whole, on every rank, in the memory in which the session left this rank's part; all outputs of this run are disposed of.
 * One allGather: each rank receives the others' parts. Where the output has more than one row, the parts are moved to their
 * places afterwards, on the GPU by one copy for each row and rank.
 *
 * Every rank calls it; calls of one group run in the order in which they were made. If a rank's run throws, or its output
 * cannot be joined, it rejects there with that error, elsewhere with a MismatchError that names that rank; the group is whole.
 * @throws TypeError for an unknown option or output. @throws RangeError for columns that are not those of this rank.
 * @throws UnsupportedError if the columns of a rank do not fill whole words of a GPUBuffer.
 */
export async function runColumnParallel<F, R extends Outputs, T extends OrtOutput>(
  group: ProcessGroup,
  session: OrtSession<F, R>,
  feeds: F,
  options: ColumnParallelOptions<T>,
): Promise<T> {
  const check = () => checkedCall(group, session, options);
  const sitOut = (call: CollectiveOptions) => {
    const nothing = Array.from({ length: group.size }, () => new Float32Array(1));
    return group.allGather(nothing, new Float32Array(1), call);
  };
  const prepare = (results: R, { name, call, ...gathering }: ReturnType<typeof check>, part: CollectiveOptions) => {
    const gather = prepareGather(group, outputIn("runColumnParallel", results, name), {
      ...gathering,
      call: { ...call, ...part },
    });
    return async () => {
      const joined = await gather();
      disposeOf(results);
      return joined;
    };
  };
  return runAndCollect(group, { session, feeds, check, sitOut, prepare });
}

/** The name of the output, and how it is gathered. */
function checkedCall<T>(
  { size }: ProcessGroup,
  session: Pick<OrtSession<unknown, unknown>, "outputNames">,
  options: ColumnParallelOptions<T>,
): Gathering<T> & { name: string } {
  checkOptions("runColumnParallel", COLUMN_PARALLEL_OPTIONS, options);
  const { Tensor, output, columns, ...call } = options;
  if (typeof Tensor !== "function") throw new TypeError("runColumnParallel: Tensor must be ort.Tensor");
  const [name = "", ...others] = outputNamesOf(
    "runColumnParallel",
    session,
    output === undefined ? undefined : [output],
  );
  if (others.length > 0) throw new TypeError(`runColumnParallel: output must be one of ${name}, ${others.join(", ")}`);
  return { name, Tensor, columns: columns && checkColumns(columns, size), call };
}

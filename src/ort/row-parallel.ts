/** Sessions whose weights are cut by rows: each rank's output is a part of a sum. */
import type { ProcessGroup } from "../group/process-group.ts";
import { checkOptions, type OptionNames } from "../option-checks.ts";
import { COLLECTIVE_OPTIONS, type CollectiveOptions } from "../options.ts";
import type { OrtSession } from "./onnx-runtime.ts";
import { type Outputs, outputNamesOf, runAndCollect } from "./run-session.ts";

/** Options of {@link runRowParallel}. */
export interface RowParallelOptions extends CollectiveOptions {
  /** The outputs that are parts of a sum, the same on all ranks; the others stay as they are. Default: all. */
  outputs?: readonly string[];
}

const ROW_PARALLEL_OPTIONS: OptionNames<RowParallelOptions> = { ...COLLECTIVE_OPTIONS, outputs: true };

/**
 * Runs `session` with `feeds`, then adds its outputs up over the ranks of `group`, in place: where the session has left them,
 * in host memory or in ONNX Runtime's own GPUBuffers, and with the same bits on every rank. Resolves to the outputs. One
 * allReduceCoalesced: each rank sends and receives about 2(N−1)/N times the bytes of the outputs.
 *
 * Every rank calls it. If a rank's run throws, it rejects there with that error, elsewhere with a MismatchError that
 * names that rank; the group is whole.
 * @throws TypeError for an unknown option or output; RangeError or TypeError for an output that is no usable tensor.
 */
export async function runRowParallel<F, R extends Outputs>(
  group: ProcessGroup,
  session: OrtSession<F, R>,
  feeds: F,
  options: RowParallelOptions = {},
): Promise<R> {
  checkOptions("runRowParallel", ROW_PARALLEL_OPTIONS, options);
  const { outputs, ...call } = options;
  const names = outputNamesOf("runRowParallel", session, outputs);
  const sitOut = (signal: AbortSignal) => group.allReduceCoalesced([new Float32Array(1)], { signal });
  return runAndCollect(session, feeds, sitOut, async (results) => {
    await group.allReduceCoalesced(
      names.flatMap((name) => results[name] ?? []),
      call,
    );
    return results;
  });
}

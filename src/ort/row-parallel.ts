/** Sessions whose weights are cut by rows: each rank's output is a part of a sum. */
import { checkApart } from "../group/claims.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { checkOptions, type OptionNames } from "../option-checks.ts";
import { COLLECTIVE_OPTIONS, type CollectiveOptions } from "../options.ts";
import { describe, describeArgument } from "../tensor/describe.ts";
import type { OrtOutput, OrtSession } from "./onnx-runtime.ts";
import { type Outputs, outputIn, outputNamesOf, runAndCollect } from "./run-session.ts";

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
 * Every rank calls it; calls of one group run in the order in which they were made. If a rank's run throws, it rejects there with that error, elsewhere with a MismatchError that
 * names that rank; the group is whole.
 * @throws TypeError for an unknown option or output; RangeError or TypeError for an output that is no usable tensor.
 */
export async function runRowParallel<F, R extends Outputs>(
  group: ProcessGroup,
  session: OrtSession<F, R>,
  feeds: F,
  options: RowParallelOptions = {},
): Promise<R> {
  const check = () => {
    checkOptions("runRowParallel", ROW_PARALLEL_OPTIONS, options);
    const { outputs, ...call } = options;
    return { names: outputNamesOf("runRowParallel", session, outputs), call };
  };
  const sitOut = (call: CollectiveOptions) => group.allReduceCoalesced([new Float32Array(1)], call);
  const prepare = (results: R, { names, call }: ReturnType<typeof check>, part: CollectiveOptions) => {
    const parts = names.map((name) => outputIn("runRowParallel", results, name));
    checkParts(names, parts);
    checkApart([], parts.map(describe));
    return async () => {
      await group.allReduceCoalesced(parts, { ...call, ...part });
      return results;
    };
  };
  return runAndCollect(group, { session, feeds, check, sitOut, prepare });
}

/** @throws TypeError if the parts do not all lie in one memory, or one is no usable tensor, or of bools, whose sum is none. */
function checkParts(names: readonly string[], parts: readonly OrtOutput[]): void {
  const bool = parts.findIndex(({ type }) => type === "bool");
  if (bool >= 0)
    throw new TypeError(`runRowParallel: output ${names[bool]} is bool, which has no sum: name the others`);
  const memories = new Set(parts.map((part, i) => describeArgument(part, `output ${names[i]}`).memory));
  if (memories.size < 2) return;
  throw new TypeError(
    `runRowParallel: the outputs ${names.join(", ")} lie partly in GPUBuffers: set preferredOutputLocation alike for all`,
  );
}

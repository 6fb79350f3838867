/** A run of a session whose outputs a collective takes next, on every rank. */
import type { OrtOutput, OrtSession } from "./onnx-runtime.ts";

/** The outputs of a run, by name. */
export type Outputs = Readonly<Record<string, OrtOutput>>;

/**
 * Runs `session`, then the call of a group that `prepare` makes of its outputs. If the run or `prepare` fails, this rank makes
 * that call by `sitOut` with a signal that is aborted already: it rejects on every rank, and the group goes on in step. After
 * an error the outputs are disposed of.
 */
export async function runAndCollect<F, R extends Outputs, T>(
  session: OrtSession<F, R>,
  feeds: F,
  sitOut: (signal: AbortSignal) => Promise<void>,
  prepare: (outputs: R) => () => Promise<T>,
): Promise<T> {
  let outputs: R | undefined;
  try {
    let call: () => Promise<T>;
    try {
      outputs = await session.run(feeds);
      call = prepare(outputs);
    } catch (error) {
      await Promise.allSettled([sitOut(AbortSignal.abort(error))]);
      throw error;
    }
    return await call();
  } catch (error) {
    if (outputs) disposeOf(outputs);
    throw error;
  }
}

/** @throws TypeError if a run has not given the output `name`, though the session has it. */
export function outputIn(where: string, outputs: Outputs, name: string): OrtOutput {
  const output = outputs[name];
  if (output) return output;
  const given = Object.keys(outputs).join(", ") || "none";
  throw new TypeError(`${where}: the session has an output ${name}, and its run gave ${given}`);
}

/** Gives the memory of all outputs back. */
export function disposeOf(outputs: Outputs): void {
  for (const output of Object.values(outputs)) output?.dispose();
}

/**
 * `names`, or all outputs of `session`.
 * @throws TypeError if the session has no output of such a name, or one is named twice.
 */
export function outputNamesOf(
  where: string,
  { outputNames }: Pick<OrtSession<unknown, unknown>, "outputNames">,
  names: readonly string[] = outputNames,
): readonly string[] {
  const unknown = names.find((name, i) => !outputNames.includes(name) || names.indexOf(name) !== i);
  if (names.length > 0 && unknown === undefined) return names;
  throw new TypeError(
    `${where}: outputs must name some of ${outputNames.join(", ")}, each once; got ${names.join(", ") || "none"}`,
  );
}

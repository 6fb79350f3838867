/** A run of a session whose outputs a collective takes next, on every rank. */
import type { ProcessGroup } from "../group/process-group.ts";
import { attempt, inTurn, type TurnPart } from "../group/turns.ts";
import type { OrtOutput, OrtSession } from "./onnx-runtime.ts";

/** The outputs of a run, by name. */
export type Outputs = Readonly<Record<string, OrtOutput>>;

/** A run of a session, and the collective that follows it. */
export interface Run<F, R extends Outputs, A, T> {
  session: OrtSession<F, R>;
  feeds: F;
  /** Checks the arguments; called at once. */
  check(): A;
  /** Makes the collective, with this signal, of tensors of its own. */
  sitOut(options: TurnPart): Promise<void>;
  /** Checks the outputs, and gives the collective that takes them. */
  prepare(outputs: R, checked: A, part: TurnPart): () => Promise<T>;
}

/**
 * Runs a session and the collective in a turn of the group. If a check or the run fails, this rank makes the collective by `sitOut` with a
 * signal that is aborted already: it rejects on every rank, and the group goes on in step. After an error the outputs are disposed
 * of.
 */
export function runAndCollect<F, R extends Outputs, A, T>(
  group: ProcessGroup,
  { session, feeds, check, sitOut, prepare }: Run<F, R, A, T>,
): Promise<T> {
  // Not a refused call, which has no number: another rank may have sat out the same one.
  const outcome = () => attempt(check);
  return inTurn(group, "ort", outcome, async (turn, checked) => {
    let outputs: R | undefined;
    try {
      let call: () => Promise<T>;
      try {
        const arguments_ = checked();
        outputs = await turn.lend("the run of the session", () => session.run(feeds));
        call = prepare(outputs, arguments_, turn.part);
      } catch (error) {
        turn.hasTold = true;
        await Promise.allSettled([sitOut({ ...turn.part, signal: AbortSignal.abort(error) })]);
        throw error;
      }
      return await call();
    } catch (error) {
      if (outputs) disposeOf(outputs);
      throw error;
    }
  });
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

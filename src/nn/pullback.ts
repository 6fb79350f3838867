/**
 * Pullback: the way back through a differentiable collective, as the caller has it.
 *
 * With y = f(x), `pullback(gy)` is the gradient of x if gy is that of y. It is itself a function of gy and x:
 * `pullback.withPullback(gy)` gives its value and its own pullback, which takes the gradient of that value to those of
 * [gy, x]; and so on, to any order. This is JAX's vjp.
 */
import type { ProcessGroup } from "../group/process-group.ts";
import { checked, inTurn } from "../group/turns.ts";
import { checkOptions, type OptionNames } from "../option-checks.ts";
import type { CollectiveOptions } from "../options.ts";
import { fromCaller, toCaller, type Values, variablesOf, withVariables } from "./forms.ts";
import { gradient } from "./steps/gradient.ts";
import { Tape } from "./steps/tape.ts";
import { constant, type Variable } from "./steps/variable.ts";

/**
 * The gradient of x for a gradient of y. `Y` and `X` are a tensor or a list of tensors, in the form of the call.
 *
 * It is a collective: every rank calls it, in the same order as all other calls; a rank whose gradient is not known passes
 * zeros. It may be called more than once. `gy` has y's dtypes, counts and memory and is not changed; the result is new, in x's
 * memory.
 */
export interface Pullback<Y, X> {
  /** @throws TypeError or RangeError, before anything is sent, if `gy` does not fit y; the errors of a collective. */
  (gy: Y): Promise<X>;
  /** The gradient, and the pullback of the function (gy, x) ↦ gradient. */
  withPullback(gy: Y): Promise<[gx: X, pullback: Pullback<X, [Y, X]>]>;
  /**
   * Destroys the GPUBuffers that are kept for it, when the calls that were made before have ended; without it they go when it is
   * collected. Neither it nor a pullback that came of it may be called afterwards.
   */
  free(): void;
}

/** What a forward call gives. */
export type Differentiable<Y, X> = Promise<[y: Y, pullback: Pullback<Y, X>]>;

/** The forward call. `own` holds the options for the collective of that name; the tape has those for the others. */
type Forward = (tape: Tape, own: CollectiveOptions) => Promise<{ y: Values; x: Values }>;

/** Checks a call with `prepare`, runs what that returns in the call's turn, and makes the pullback. */
export function differentiable<Y, X, O extends CollectiveOptions>(
  name: string,
  group: ProcessGroup,
  names: OptionNames<O>,
  options: O,
  prepare: () => Forward,
): Differentiable<Y, X> {
  const prepared = checked(group, () => {
    checkOptions(name, names, options);
    return prepare();
  });
  // Now: the caller may change its object before the turn comes.
  const { timeoutMs, signal, algorithm } = { ...options };
  return inTurn(group, async () => {
    const forward = await prepared();
    const lasting = { ...(timeoutMs !== undefined && { timeoutMs }), ...(signal && { signal }) };
    const tape = new Tape(group, lasting);
    try {
      const { y, x } = await forward(tape, algorithm === undefined ? lasting : { ...lasting, algorithm });
      const result = toCaller(y.form, ({ tensor }) => tape.give(tensor)) as Y;
      return [result, pullbackOf<Y, X>(name, tape, y, x)];
    } catch (error) {
      tape.free();
      throw error;
    }
  });
}

/** The pullback of the function that made `outputs` of `inputs`, whose steps are on `tape`. */
function pullbackOf<Y, X>(name: string, tape: Tape, outputs: Values, inputs: Values): Pullback<Y, X> {
  const { group, options } = tape;
  const sources = [...variablesOf(outputs.form), ...outputs.hidden];
  const targets = [...variablesOf(inputs.form), ...inputs.hidden];
  let isFreed = false;
  const free = () => {
    isFreed = true;
    void inTurn(group, async () => tape.free());
  };
  /** Calls `use` with the cotangents of all sources, a tape for the way back, and the gradients of all targets. */
  const run = <T>(gy: Y, use: (again: Tape, cotangents: Variable[], gradients: Variable[]) => T): Promise<T> => {
    const gradients = checked(group, () => {
      if (isFreed) throw new TypeError(`the pullback of ${name} was freed: call free() after its last call`);
      return fromCaller(outputs.form, gy, `the pullback of ${name}: the gradient`);
    });
    return inTurn(group, async () => {
      const given = await gradients();
      const again = new Tape(group, options);
      try {
        const hidden = outputs.hidden.map(({ tensor }) => again.math.zerosLike(tensor));
        // Copies, since the caller may change its own while a pullback of the pullback needs them.
        const cotangents = [...given.map((tensor) => again.math.cloneOf(tensor)), ...hidden].map(constant);
        return use(again, cotangents, await gradient(again, sources, targets, cotangents));
      } catch (error) {
        again.free();
        throw error;
      }
    });
  };
  const pullback = (gy: Y): Promise<X> =>
    run(gy, (again, _, gradients) => {
      const next = gradients.values();
      const result = toCaller(inputs.form, () => again.give((next.next().value as Variable).tensor)) as X;
      again.free();
      return result;
    });
  const withPullback = (gy: Y): Promise<[X, Pullback<X, [Y, X]>]> =>
    run(gy, (again, cotangents, gradients) => {
      const takeFrom = (variables: Variable[]) => {
        const next = variables.values();
        return () => next.next().value as Variable;
      };
      const form = withVariables(inputs.form, takeFrom(gradients));
      const shown = variablesOf(form).length;
      const results = { form, hidden: gradients.slice(shown) };
      const gyForm = withVariables(outputs.form, takeFrom(cotangents));
      const gyHidden = cotangents.slice(variablesOf(gyForm).length);
      const both = { form: [gyForm, inputs.form], hidden: [...gyHidden, ...inputs.hidden] };
      const result = toCaller(form, ({ tensor }) => again.copyOf(tensor)) as X;
      return [result, pullbackOf<X, [Y, X]>(name, again, results, both)];
    });
  return Object.assign(pullback, { withPullback, free });
}

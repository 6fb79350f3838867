/** Gives all ranks the variables of one. */
import type { ProcessGroup } from "../group/process-group.ts";
import { inTurn, type TurnPart } from "../group/turns.ts";
import { checkOptions, type OptionNames } from "../option-checks.ts";
import { agreeOn, type Named } from "./agreement.ts";
import { checkBucketBytes } from "./average-gradients.ts";
import { checkCollection, checkTensors } from "./buckets.ts";
import { isTfTensor, type TfTensor, type TfVariable } from "./engine.ts";
import { abortUnlessTold, throughBuckets } from "./through-buckets.ts";

/** A weight of a tf.LayersModel: a tf.Variable in a cover. */
export interface TfLayerVariable {
  /** The variable's name. */
  readonly name: string;
  /** The variable's value. */
  read(): TfTensor;
}

/** Variables as tf.js has them: a list, `model.weights`, or by name. */
export type Variables =
  | readonly (TfVariable | TfLayerVariable)[]
  | Readonly<Record<string, TfVariable | TfLayerVariable>>;

/** Options of `broadcastVariables`. */
export interface BroadcastVariablesOptions {
  /** The rank whose variables all get. Default: 0. */
  root?: number;
  /** A bucket of variables is full once it has so many bytes; the same on every rank. Default: 25 MiB. */
  bucketBytes?: number;
}

const BROADCAST_VARIABLES_OPTIONS: OptionNames<BroadcastVariablesOptions> = { root: true, bucketBytes: true };

/**
 * Puts root's values into `variables` of every rank, as training begins with the same weights everywhere. Every rank gives
 * the same names, shapes and dtypes in the same order, which is compared first. Calls of one group run in the order in which
 * they were made.
 *
 * @throws TypeError if one is no tf.Variable, is disposed, or has the dtype complex64 or string; nothing was sent then.
 * @throws RangeError if there is no such root. @throws MismatchError if the lists of the ranks differ; the group is whole.
 * What else goes wrong before all ranks have the values aborts the group, for the other ranks wait.
 */
export async function broadcastVariables(
  group: ProcessGroup,
  variables: Variables,
  options: BroadcastVariablesOptions = {},
): Promise<void> {
  const check = () => checkedCall(group, variables, options);
  return inTurn(group, "tfjs", check, async ({ part }, { list, root, bucketBytes }) => {
    const values = await broadcastList(group, part, list, { root, bucketBytes });
    try {
      values.forEach(({ tensor: value }, i) => {
        list[i]?.tensor.assign(value);
      });
    } finally {
      for (const { tensor } of values) tensor.dispose();
    }
  });
}

/** The variables as a list, and the options. */
function checkedCall(group: ProcessGroup, variables: Variables, options: BroadcastVariablesOptions) {
  checkOptions("broadcastVariables", BROADCAST_VARIABLES_OPTIONS, options);
  const { root = 0, bucketBytes } = options;
  checkBucketBytes("broadcastVariables", bucketBytes);
  if (!Number.isInteger(root) || root < 0 || root >= group.size) {
    throw new RangeError(`broadcastVariables: root must be a rank from 0 to ${group.size - 1}, got ${String(root)}`);
  }
  checkCollection("broadcastVariables: variables", variables);
  const list = (Array.isArray(variables) ? variables : Object.values(variables)).map((variable, i) => {
    const tensor = variableIn(variable);
    if (!tensor) throw new TypeError(`broadcastVariables: item ${i} is not a tf.Variable; model.weights has some`);
    return { name: tensor.name, tensor };
  });
  checkTensors("broadcastVariables", list);
  return { list, root, bucketBytes };
}

/** New tensors with root's values. */
async function broadcastList(
  group: ProcessGroup,
  part: TurnPart,
  list: readonly Named[],
  { root, bucketBytes }: { root: number; bucketBytes: number | undefined },
): Promise<Named[]> {
  try {
    await agreeOn(group, part, "variable", list);
    return await throughBuckets(group, list, bucketBytes, (buckets) =>
      group.coalesce(() => {
        for (const { tensor } of buckets) void group.broadcast(tensor, { ...part, root });
      }),
    );
  } catch (error) {
    abortUnlessTold(group, error);
    throw error;
  }
}

function variableIn(value: unknown): TfVariable | null {
  const tensor = isTfTensor(value) ? value : (value as TfLayerVariable | null)?.read?.();
  return isTfTensor(tensor) && "assign" in tensor ? (tensor as TfVariable) : null;
}

/**
 * Are the parameters alike on all ranks? To be asked before the first gradient is sent.
 *
 * Source: verify_params_across_processes of torch/csrc/distributed/c10d/reducer.cpp.
 */
import { MismatchError } from "../errors.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import { inTurn, type TurnPart } from "../group/turns.ts";
import type { Logger } from "../options.ts";
import { describeArgument } from "../tensor/describe.ts";
import type { ShapedTensor } from "../types.ts";

/** A parameter of a model, which may have a name for messages. */
export interface NamedTensor extends ShapedTensor {
  /** Its name in errors and files. */
  name?: string;
}

/** A parameter as the other ranks see it: its dtype, shape and name. */
type Facts = readonly [dtype: string, shape: string, name: string];

/**
 * Compares the dtype and shape of every parameter with those of all ranks. Every rank calls it. Values are not compared.
 * `logger`, if given, hears of the error as well.
 * @throws TypeError or RangeError for a parameter that is no tensor, or whose shape has another count; the other ranks get a MismatchError.
 * @throws MismatchError on every rank alike if ranks differ: it names rank 0 and the first rank that differs, the parameter by
 * index and by name, and both shapes. The group is whole.
 */
export function verifyParamsAcrossProcesses(
  group: ProcessGroup,
  parameters: readonly NamedTensor[],
  logger?: Pick<Logger, "error">,
): Promise<void> {
  const check = () => {
    if (!Array.isArray(parameters)) throw new TypeError("verifyParamsAcrossProcesses: parameters must be a list");
    return parameters.map(factsOf);
  };
  return inTurn(group, "verifyParamsAcrossProcesses", check, ({ part }, own) => compare(group, part, own, logger));
}

async function compare(
  group: ProcessGroup,
  part: TurnPart,
  own: readonly Facts[],
  logger: Pick<Logger, "error"> | undefined,
): Promise<void> {
  const texts = await group.allGatherObject(own.map((facts) => facts.join("\n")).join("\0"), part);
  const [reference = [], ...others] = texts.map(listOf);
  for (const [i, facts] of others.entries()) {
    const difference = differenceOf(reference, facts, i + 1);
    if (difference === null) continue;
    const text = `group "${group.name}": ${difference}`;
    logger?.error(text);
    throw new MismatchError(text, { group: group.name, rank: i + 1, field: "parameters" });
  }
}

function factsOf(parameter: NamedTensor, index: number): Facts {
  if (typeof parameter !== "object" || parameter === null) {
    throw new TypeError(`parameters[${index}] must be { tensor, shape }, got ${String(parameter)}`);
  }
  const { tensor, shape, name = "" } = parameter;
  if (typeof name !== "string") {
    throw new TypeError(`parameters[${index}]: the name must be a string, got ${String(name)}`);
  }
  const { dtype, count } = describeArgument(tensor, `parameters[${index}]`);
  if (!Array.isArray(shape) || shape.some((length) => !Number.isSafeInteger(length) || length < 0)) {
    throw new TypeError(`parameters[${index}]: the shape must be a list of whole numbers, got ${String(shape)}`);
  }
  const elements = shape.reduce((product, length) => product * length, 1);
  if (elements !== count) {
    throw new RangeError(
      `parameters[${index}]: the shape [${shape.join(", ")}] has ${elements} elements, not ${count}`,
    );
  }
  return [dtype, `[${shape.join(", ")}]`, name.replace(/[\n\0]/g, " ")];
}

/** The facts in a text of another rank; whatever it sent, they are strings. */
function listOf(text: unknown): Facts[] {
  if (typeof text !== "string" || text === "") return [];
  return text.split("\0").map((line) => {
    const [dtype = "", shape = "", name = ""] = line.split("\n");
    return [dtype, shape, name];
  });
}

/** In what `facts` of a rank differ from those of rank 0, in words; null if they do not. */
function differenceOf(reference: readonly Facts[], facts: readonly Facts[], rank: number): string | null {
  if (reference.length !== facts.length) {
    return `rank 0 has ${reference.length} parameters, and rank ${rank} has ${facts.length}`;
  }
  for (const [index, [dtype, shape, name]] of reference.entries()) {
    const [otherDtype = "", otherShape = "", otherName = ""] = facts[index] ?? [];
    if (dtype === otherDtype && shape === otherShape) continue;
    const known = name || otherName;
    const parameter = `parameter ${index}${known ? ` ("${known}")` : ""}`;
    return `${parameter} is ${dtype} ${shape} on rank 0, and ${otherDtype} ${otherShape} on rank ${rank}`;
  }
  return null;
}

/** Agreement of all ranks on a list of named tensors: the same names, shapes and dtypes in the same order. */
import { MismatchError, ProtocolError } from "../errors.ts";
import type { ProcessGroup } from "../group/process-group.ts";
import type { TurnPart } from "../group/turns.ts";
import type { TfTensor } from "./engine.ts";

/** A tensor and its name. */
export interface Named {
  name: string;
  tensor: TfTensor;
}

/** A tensor as the other ranks are told of it. */
type Entry = readonly [name: string, numbers: readonly number[], shape: readonly number[], dtype: string];

/** The gradients that the ranks of each group have last agreed on, as text. */
const agreed = new WeakMap<ProcessGroup, string>();

/**
 * {@link agreeOn} for gradients: at the first call with a list, and after each change of it. Where only some ranks change
 * theirs, the ranks call different collectives, and the group itself rejects them with a MismatchError.
 */
export async function agreeOnGradients(
  group: ProcessGroup,
  part: TurnPart,
  gradients: readonly Named[],
): Promise<void> {
  const text = JSON.stringify(entriesOf(gradients));
  if (agreed.get(group) === text) return;
  // Set before the answer: a second call that is made meanwhile must decide alike on all ranks.
  agreed.set(group, text);
  await agreeOn(group, part, "gradient", gradients);
}

/** Lets the next call compare: after an error nobody knows which gradients the other ranks agreed on. */
export function forgetGradients(group: ProcessGroup): void {
  agreed.delete(group);
}

/**
 * Resolves when all ranks have given the same list. `what` the tensors are is for the error.
 * @throws MismatchError on every rank, if one has another list than rank 0; it names that rank and the first tensor that differs.
 * @throws ProtocolError, with which the group is dead, if a rank tells something else than a list.
 */
export async function agreeOn(
  group: ProcessGroup,
  part: TurnPart,
  what: string,
  tensors: readonly Named[],
): Promise<void> {
  const own = { entries: entriesOf(tensors), names: tensors.map(({ name }) => name) };
  const lists = toldBy(group, await group.allGatherObject<unknown>(own, part));
  const [first] = lists;
  const rank = lists.findIndex((list) => differing(first!, list) >= 0);
  if (rank < 0) return;
  const at = differing(first!, lists[rank]!);
  throw new MismatchError(
    `group "${group.name}": ${what} ${at} of rank ${rank} is ${textOf(lists[rank]!, at)}, that of rank 0 is ${textOf(first!, at)}: all ranks must have the same variables in the same order`,
    { group: group.name, rank, field: what },
  );
}

/** What each rank tells of its list. */
interface Told {
  entries: Entry[];
  names: string[];
}

/** What all ranks told, if each told a list. */
function toldBy(group: ProcessGroup, values: readonly unknown[]): readonly Told[] {
  if (values.every(isTold)) return values;
  const peer = values.findIndex((value) => !isTold(value));
  const error = new ProtocolError(
    `group "${group.name}": rank ${peer} told no list of tensors, as averageGradients and broadcastVariables do on every rank. The group is dead`,
    { group: group.name, rank: group.rank, peer },
  );
  group.abort(error);
  throw error;
}

function isTold(value: unknown): value is Told {
  const { entries, names } = (value ?? {}) as Partial<Record<keyof Told, unknown>>;
  const areLists = Array.isArray(entries) && Array.isArray(names) && entries.length === names.length;
  return areLists && names.every((name) => typeof name === "string") && entries.every(isEntry);
}

function isEntry(value: unknown): value is Entry {
  if (!Array.isArray(value) || value.length !== 4) return false;
  const [name, numbers, shape, dtype] = value as unknown[];
  return typeof name === "string" && areNumbers(numbers) && areNumbers(shape) && typeof dtype === "string";
}

function areNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((one) => typeof one === "number");
}

/** The first place where two lists differ, or -1. */
function differing({ entries: a }: Told, { entries: b }: Told): number {
  const longer = a.length > b.length ? a : b;
  return longer.findIndex((_, i) => JSON.stringify(a[i]) !== JSON.stringify(b[i]));
}

/**
 * tf.js numbers its names by process (variable_7, dense_Dense3/kernel), so that a rank which has made another model before
 * has other numbers for the same one. So the numbers in names that are otherwise alike count from the least of them.
 */
function entriesOf(tensors: readonly Named[]): Entry[] {
  const parts = tensors.map(({ name }) => ({
    letters: name.replace(/\d+/g, "#"),
    numbers: (name.match(/\d+/g) ?? []).map(Number),
  }));
  const least = new Map<string, number[]>();
  for (const { letters, numbers } of parts) {
    const before = least.get(letters);
    least.set(letters, before ? before.map((number, i) => Math.min(number, numbers[i] ?? number)) : numbers);
  }
  return tensors.map(({ tensor }, i) => {
    const { letters, numbers } = parts[i]!;
    const from = least.get(letters);
    return [letters, numbers.map((number, n) => number - (from?.[n] ?? 0)), [...tensor.shape], tensor.dtype];
  });
}

function textOf({ entries, names }: Told, at: number): string {
  const entry = entries[at];
  if (!entry) return "absent";
  const [, , shape, dtype] = entry;
  return `"${names[at]}", ${dtype} [${shape.join(", ")}]`;
}

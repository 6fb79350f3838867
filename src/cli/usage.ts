/** Flags of all commands: their errors, their numbers, and the nearest word to a mistyped one. */
import { accessSync, constants, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";

/** Most processes for each core, unless the user insists: a mistyped count must not bring the machine down. */
export const MOST_PER_CORE = 16;
const LAST_PORT = 65_535;

/** The command line was wrong; nothing was started. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** One flag's value as the parser left it: a repeated flag is an array, a flag without value is `true`. */
export type FlagValue = string | number | boolean | FlagValue[] | undefined;

/** The flags of a command by name, `n` for -n and `tokenFile` for --token-file. */
export type Flags = Readonly<Record<string, FlagValue>>;

/** The spellings of the flags that are declared as `-n, --ranks <count>`. */
export function spellingsOf(flags: readonly { rawName: string }[]): string[] {
  return flags.flatMap(({ rawName }) => rawName.match(/--?[a-z][a-z-]*/g) ?? []);
}

/**
 * The text given for `flag`, or undefined if it was not given.
 * @throws UsageError if it was given twice or without a value.
 */
export function textFlag(flag: string, value: FlagValue): string | undefined {
  if (value === undefined) return undefined;
  if (Array.isArray(value)) throw new UsageError(`${flag} was given ${value.length} times`);
  if (typeof value === "boolean") throw new UsageError(`${flag} needs a value`);
  return String(value);
}

/**
 * The whole number given for `flag`, or undefined if it was not given.
 * @throws UsageError if it is not a whole number from `min` to `max`.
 */
export function integerFlag(
  flag: string,
  value: FlagValue,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number | undefined {
  const text = textFlag(flag, value);
  if (text === undefined) return undefined;
  const number = text === "" ? Number.NaN : Number(text);
  if (!Number.isSafeInteger(number) || number < min || number > max) {
    const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
    throw new UsageError(`${flag} must be a whole number ${range}, got ${text === "" ? "nothing" : text}`);
  }
  return number;
}

/** The port given for `flag`, of which 0 is a free one, or undefined if none was given. */
export function portFlag(flag: string, value: FlagValue): number | undefined {
  return integerFlag(flag, value, 0, LAST_PORT);
}

/**
 * The file given for `flag`, or undefined if none was given: a page is written after minutes, so the folder must be there before.
 * @throws UsageError if no file can be written there.
 */
export function outputFlag(flag: string, value: FlagValue): string | undefined {
  const file = textFlag(flag, value);
  if (file === undefined) return undefined;
  const folder = dirname(file);
  const cannot = (reason: string) => new UsageError(`${flag} ${file} cannot be written: ${reason}`);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw cannot(`there is no folder ${folder}`);
  const there = statSync(file, { throwIfNoEntry: false });
  if (file === "" || there?.isDirectory()) throw cannot("it is a folder: give the name of a file in it");
  try {
    accessSync(there ? file : folder, constants.W_OK);
  } catch (error) {
    throw cannot((error as Error).message);
  }
  return file;
}

/**
 * @param remedies what a user may do beside taking fewer.
 * @throws UsageError if `ranks` are so many processes that they would hardly get on.
 */
export function checkCores(ranks: number, remedies: string): void {
  const cores = availableParallelism();
  if (ranks <= MOST_PER_CORE * cores) return;
  throw new UsageError(
    `-n ${ranks} is more than ${MOST_PER_CORE} processes for each of ${cores} cores: take fewer, ${remedies}`,
  );
}

const SIZE_UNITS: Readonly<Record<string, number>> = { "": 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/**
 * Bytes as nccl-tests writes them: 64, 4K, 1.5M, 1G, in powers of 1024.
 * @throws UsageError if `value` is anything else.
 */
export function sizeFlag(flag: string, value: FlagValue): number | undefined {
  const text = textFlag(flag, value);
  if (text === undefined) return undefined;
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?)([KMG]?)$/i.exec(text) ?? [];
  const bytes = Number(digits) * (SIZE_UNITS[unit.toUpperCase()] ?? Number.NaN);
  if (!Number.isSafeInteger(bytes))
    throw new UsageError(`${flag} must be a size such as 64, 4K, 64M or 1G, got ${text}`);
  return bytes;
}

/**
 * `value` itself, if it is one of `choices`.
 * @throws UsageError that lists the choices and names the nearest.
 */
export function choiceFlag<T extends string>(flag: string, value: string, choices: readonly T[]): T;
export function choiceFlag<T extends string>(flag: string, value: FlagValue, choices: readonly T[]): T | undefined;
export function choiceFlag<T extends string>(flag: string, value: FlagValue, choices: readonly T[]): T | undefined {
  const text = textFlag(flag, value);
  if (text === undefined) return undefined;
  const choice = choices.find((candidate) => candidate === text);
  if (choice === undefined) {
    throw new UsageError(`${flag} ${text}: not one of ${choices.join(", ")}${didYouMean(text, choices)}`);
  }
  return choice;
}

/** `; did you mean X?` for the candidate nearest to `word`, or nothing if none is near. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  const bare = (text: string) => text.replace(/^-+/, "");
  const given = bare(word);
  let nearest: string | undefined;
  let nearestDistance = Math.max(2, Math.floor(given.length / 2)) + 1;
  for (const candidate of candidates) {
    const target = bare(candidate);
    const isBeginning = given.length >= 3 && target.startsWith(given);
    const distance = isBeginning ? 1 : editDistance(given, target);
    if (distance < nearestDistance && distance < Math.max(given.length, target.length)) {
      nearest = candidate;
      nearestDistance = distance;
    }
  }
  return nearest === undefined ? "" : `; did you mean ${nearest}?`;
}

/** Fewest insertions, deletions and replacements of a character that make `a` into `b` (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, ofA] of [...a].entries()) {
    let diagonal = 0;
    let left = i + 1;
    row = row.map((above, j) => {
      if (j > 0) left = Math.min(diagonal + (ofA === b[j - 1] ? 0 : 1), above + 1, left + 1);
      diagonal = above;
      return left;
    });
  }
  return row.at(-1) ?? 0;
}

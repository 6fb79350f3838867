/** What the commands share about flags: their errors, their numbers, and the nearest word to a mistyped one. */

/** The command line was wrong; nothing was started. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** One flag's value as the parser left it: a repeated flag is an array, a flag without value is `true`. */
export type FlagValue = string | number | boolean | FlagValue[] | undefined;

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
 * @throws UsageError if it is not a whole number of at least `min`.
 */
export function integerFlag(flag: string, value: FlagValue, min: number): number | undefined {
  const text = textFlag(flag, value);
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < min) {
    throw new UsageError(`${flag} must be a whole number of at least ${min}, got ${text}`);
  }
  return number;
}

const SIZE_UNITS: Readonly<Record<string, number>> = { "": 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/**
 * Bytes as nccl-tests writes them: 64, 4K, 1.5M, 1G, in powers of 1024.
 * @throws UsageError if `value` is anything else.
 */
export function sizeFlag(flag: string, value: FlagValue): number | undefined {
  const text = textFlag(flag, value);
  if (text === undefined) return undefined;
  const match = /^(\d+(?:\.\d+)?)([KMG]?)$/i.exec(text);
  const bytes = match ? Number(match[1]) * SIZE_UNITS[match[2]!.toUpperCase()]! : Number.NaN;
  if (!Number.isSafeInteger(bytes))
    throw new UsageError(`${flag} must be a size such as 64, 4K, 64M or 1G, got ${text}`);
  return bytes;
}

/**
 * `value` itself, if it is one of `choices`.
 * @throws UsageError that lists the choices and names the nearest.
 */
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
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(replaced, previous[j]! + 1, current[j - 1]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}

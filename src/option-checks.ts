/**
 * Checked options. A misspelt option would be ignored, and the call would do something else; so every public function knows
 * its options by name, and anything else is a TypeError that names the nearest one. The types of options.ts and of the
 * functions' own files are the one description of each option: the lists here are checked against them by the compiler, and
 * docs/options.md is made from them.
 */

/** The names of all options of `T`, each once. */
export type OptionNames<T> = { readonly [K in keyof Required<T>]: true };

/** Options that people know from torch.distributed, NCCL or MPI under another name. */
const OTHER_NAMES: Readonly<Record<string, readonly string[]>> = {
  root: ["src", "dst", "source", "destination", "rootRank"],
  op: ["ops", "reduceOp", "operation", "reduction"],
  timeoutMs: ["timeout", "timeoutMillis", "timeoutSeconds"],
  worldSize: ["size", "nranks", "ranks", "world"],
  initMethod: ["url", "method", "masterAddr"],
  groupName: ["name", "group"],
  outputSplits: ["outputSplitSizes", "recvcounts"],
  inputSplits: ["inputSplitSizes", "sendcounts"],
  waitAllRanks: ["waitAll"],
  ncclOptions: ["pgOptions", "backendOptions"],
  device: ["deviceId", "gpu"],
};

/** The option for which a bare value of this type was probably meant, where a function has it. */
const MEANT: Readonly<Record<string, readonly string[]>> = {
  string: ["op", "initMethod", "name"],
  number: ["root", "tag"],
};

/**
 * @throws TypeError if `options` is no object, or holds an option that is not in `names`. `where` is the function, or the path
 * of an option that holds others, such as "initProcessGroup: listen". An option `signal` must be an AbortSignal.
 */
export function checkOptions<T extends object>(where: string, names: OptionNames<T>, options: T): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`${where}: options must be an object, got ${textOf(options)}${hintOf(names, options)}`);
  }
  for (const name in options) {
    if (!Object.hasOwn(names, name)) throw new TypeError(`${where}: ${unknownOption(name, Object.keys(names))}`);
    if (name === "signal") checkSignal(where, (options as { signal?: unknown }).signal);
  }
}

/** @throws TypeError if `signal` is neither undefined nor an AbortSignal: a call that has begun must find one. */
function checkSignal(where: string, signal: unknown): void {
  try {
    // The getter throws for all else, and takes the signal of another window.
    if (signal !== undefined) Reflect.get(AbortSignal.prototype, "aborted", signal);
  } catch {
    throw new TypeError(`${where}: signal must be an AbortSignal, such as controller.signal, got ${textOf(signal)}`);
  }
}

/** Says that there is no option `name`, and which of `known` was probably meant. */
function unknownOption(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  return `unknown option ${name}; ${near ? `did you mean ${near}?` : `known are ${known.join(", ")}`}`;
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

function hintOf(names: object, value: unknown): string {
  const meant = MEANT[typeof value]?.find((name) => Object.hasOwn(names, name));
  return meant ? `; did you mean { ${meant}: ${textOf(value)} }?` : "";
}

/** The option that was probably meant by `name`, or undefined: one with the same letters, another name for it, or a near one. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const letters = lettersOf(name);
  const same = known.find((one) => lettersOf(one) === letters);
  const other = known.find((one) => OTHER_NAMES[one]?.some((alias) => lettersOf(alias) === letters));
  if (same ?? other) return same ?? other;
  const [best] = known
    .map((one) => ({ one, edits: editsBetween(letters, lettersOf(one)) }))
    .sort((a, b) => a.edits - b.edits);
  return best && best.edits <= Math.max(1, Math.floor(best.one.length / 3)) ? best.one : undefined;
}

const lettersOf = (name: string) => name.replace(/[^a-z0-9]/gi, "").toLowerCase();

/** How many letters must be inserted, deleted or replaced to make one word of the other (Levenshtein 1966). */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

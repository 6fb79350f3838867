/** What was thrown, or given as the reason of an abort: mostly an Error, and sometimes anything. */

/** In words. A value that has none, such as an object without a prototype, does not throw here. */
export function textOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? thrown.message : String(thrown);
  } catch {
    return `a value of type ${typeof thrown}`;
  }
}

/** As an Error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(textOf(thrown), { cause: thrown });
}

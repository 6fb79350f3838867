/** The end of work that may be over already: undefined if it is. A promise would be most of the cost of a short call. */
export type Late = Promise<void> | undefined;

/** `next` when `late` is over: at once, and without a promise, if nobody has to be waited for. */
export function after(late: Late, next: () => Late): Late {
  return late ? late.then(next) : next();
}

/** Listeners to the abort of a signal. Many calls may have one signal, and a runtime warns of a signal with many listeners of its own. */

const listeners = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls `listener` once when `signal` aborts, until the function that this returns is called. */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  const known = listeners.get(signal);
  const all = known ?? new Set();
  all.add(listener);
  if (!known) {
    listeners.set(signal, all);
    signal.addEventListener("abort", tellAll);
  }
  return () => {
    all.delete(listener);
    if (all.size > 0 || listeners.get(signal) !== all) return;
    listeners.delete(signal);
    signal.removeEventListener("abort", tellAll);
  };
}

function tellAll(this: AbortSignal): void {
  const all = listeners.get(this);
  listeners.delete(this);
  this.removeEventListener("abort", tellAll);
  for (const listener of all ?? []) listener();
}

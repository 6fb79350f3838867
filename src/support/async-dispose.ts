/// <reference lib="esnext.disposable" preserve="true" />

/** The symbol of `await using`. Runtimes that lack it have nobody who asks for it, and none of their globals is changed. */
export const asyncDispose: typeof Symbol.asyncDispose =
  (Symbol as { asyncDispose?: typeof Symbol.asyncDispose }).asyncDispose ??
  (Symbol.for("Symbol.asyncDispose") as typeof Symbol.asyncDispose);

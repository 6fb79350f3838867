/** Barrier over a shared region: a step is one. */
import type { Context } from "./context.ts";
import { sharedOf } from "./shared.ts";

/** Resolves when every rank has called it. */
export function barrierStep(context: Context): Promise<void> | undefined {
  return sharedOf(context).region.step();
}

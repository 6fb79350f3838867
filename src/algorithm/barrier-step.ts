/** Barrier over a shared region: a step is one. */
import { type Context, sharedOf } from "./context.ts";

/** Resolves when every rank has called it. */
export function barrierStep(context: Context): Promise<void> | undefined {
  return sharedOf(context).region.step();
}

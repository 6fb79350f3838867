/** Barrier over a shared region: a step is one. */
import { type Context, type Late, sharedOf } from "../context.ts";

/** Resolves when every rank has called it. */
export function barrierStep(context: Context): Late {
  return sharedOf(context).region.step();
}

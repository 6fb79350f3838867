/** Barrier between processes that share files: a step is one. */
import { areasOf, type Context } from "../context.ts";

/** Resolves when every rank has called it. */
export function barrierAreas(context: Context): Promise<void> | undefined {
  return areasOf(context).region.step();
}

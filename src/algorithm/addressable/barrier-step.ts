/** Barrier over addressable memory: a step is one. */
import type { Late } from "../../support/late.ts";
import { addressableOf, type Context } from "../context.ts";

/** Resolves when every rank has called it. */
export function barrierStep(context: Context): Late {
  return addressableOf(context).step();
}

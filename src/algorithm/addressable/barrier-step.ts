/** Barrier over addressable memory: a step is one. */

import type { Late } from "../../support/late.ts";
import type { Context } from "../context.ts";
import { addressableOf } from "./toolkit.ts";

/** Resolves when every rank has called it. */
export function barrierStep(context: Context): Late {
  return addressableOf(context).step();
}

/** Barrier between processes that share files: a step is one. */

import type { Late } from "../../support/late.ts";
import type { Context } from "../context.ts";
import { areasOf } from "./toolkit.ts";

/** Resolves when every rank has called it. */
export function barrierAreas(context: Context): Late {
  return areasOf(context).step();
}

/** The hooks that are known by a name, as c10d's BuiltinCommHookType has them. */
import type { ProcessGroup } from "../../group/process-group.ts";
import type { CommHook } from "../comm-hook.ts";
import { fp16CompressHook } from "./half.ts";
import { allReduceHook } from "./uncompressed.ts";

/** The names of the built-in hooks, for `registerBuiltinCommHook`. */
export const BuiltinCommHookType = { ALLREDUCE: "ALLREDUCE", FP16_COMPRESS: "FP16_COMPRESS" } as const;
export type BuiltinCommHookType = keyof typeof BuiltinCommHookType;

const HOOKS: ReadonlyMap<unknown, CommHook<ProcessGroup>> = new Map([
  [BuiltinCommHookType.ALLREDUCE, allReduceHook],
  [BuiltinCommHookType.FP16_COMPRESS, fp16CompressHook],
]);

/**
 * The hook of a type. Its state is the group.
 * @throws TypeError if there is no such type.
 */
export function builtinCommHook(type: BuiltinCommHookType): CommHook<ProcessGroup> {
  const hook = HOOKS.get(type);
  if (hook) return hook;
  throw new TypeError(`${String(type)} is no built-in comm hook: use one of ${[...HOOKS.keys()].join(", ")}`);
}

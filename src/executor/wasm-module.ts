/** WebAssembly modules as they lie in *.generated.ts, and how they come to run on a memory. */
import type { DataType } from "../types.ts";
import { FOLD_NAMES, type FoldName, signedLane } from "./kernels.ts";
import type { WasmMemory } from "./wasm-memory.ts";

/** A module that imports a shared memory as env.memory. Deflated it is a small part of what a page would load otherwise. */
export interface DeflatedModule {
  /** Offset of the memory import's limits byte: 3 as it stands (shared), 1 for a memory that is not shared. */
  readonly memoryLimitsAt: number;
  readonly base64: string;
}

/** What a module exports. */
export type Exports = Readonly<Record<string, unknown>>;

const UNSHARED_WITH_MAXIMUM = 1;

/** The module's bytes; one that imports shared memory takes no other, so for that it is patched. */
export async function inflate({ base64, memoryLimitsAt }: DeflatedModule, shared: boolean): Promise<BufferSource> {
  const deflated = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const inflated = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const module = new Uint8Array(await new Response(inflated).arrayBuffer());
  if (!shared) module[memoryLimitsAt] = UNSHARED_WITH_MAXIMUM;
  return module;
}

/** Compiles a module to work in `memory`. Rejects where a policy forbids it. */
export async function instantiate(module: DeflatedModule, { memory, shared }: WasmMemory): Promise<Exports> {
  const { instance } = await WebAssembly.instantiate(await inflate(module, shared), { env: { memory } });
  return instance.exports;
}

/** The exports that fold `dtype`, by operation. */
export function foldKernels<K>(exports: Exports, dtype: DataType): Readonly<Record<FoldName, K>> {
  const kernels = FOLD_NAMES.map((name) => {
    const bitwise = name === "band" || name === "bor" || name === "bxor";
    const lane = bitwise ? "i8" : name === "min" || name === "max" ? dtype : signedLane(dtype);
    return [name, exports[`${name}_${lane}`]];
  });
  return Object.fromEntries(kernels) as Record<FoldName, K>;
}

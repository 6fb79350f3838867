/** WebAssembly modules as they lie in *.generated.ts, and how they come to run on a memory. */
import type { DataType } from "../../types.ts";
import { FOLD_NAMES, type FoldName, signedLane } from "./kernels.ts";
import type { WasmMemory } from "./wasm-memory.ts";

/** A module that imports a shared memory as env.memory. Deflated it is a small part of its size. */
export interface DeflatedModule {
  /** Offset of the memory import's limits byte: 3 as it stands (shared), 1 for a memory that is not shared. */
  readonly memoryLimitsAt: number;
  readonly base64: string;
}

/** The exports of a module. */
export type Exports = Readonly<Record<string, unknown>>;

/** The limits byte of a memory with a maximum. */
const UNSHARED = 1;
const SHARED = 3;

/** The module's bytes, for a memory that is not shared. */
export async function inflate({ base64, memoryLimitsAt }: DeflatedModule): Promise<Uint8Array<ArrayBuffer>> {
  const deflated = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const inflating = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const parts: BlobPart[] = [];
  // A Response would do this too, but Node takes 30 ms of a process's start to load its fetch.
  for (let part = await inflating.read(); part.value; part = await inflating.read()) parts.push(part.value);
  const module = new Uint8Array(await new Blob(parts).arrayBuffer());
  module[memoryLimitsAt] = UNSHARED;
  return module;
}

/** Compiles a module to work in `memory`; `bytes` if it is inflated already. Rejects where a policy forbids it. */
export async function instantiate(
  module: DeflatedModule,
  { memory, shared }: WasmMemory,
  bytes?: Uint8Array<ArrayBuffer>,
): Promise<Exports> {
  const inflated = bytes ?? (await inflate(module));
  // One that imports a shared memory takes no other.
  if (shared) inflated[module.memoryLimitsAt] = SHARED;
  const { instance } = await WebAssembly.instantiate(inflated, { env: { memory } });
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

/** Checksums: in WebAssembly where it may run, in plain TypeScript elsewhere. A link that needs them loads them. */
import type { Checksums } from "../../wire/checksum.ts";
import type { WasmMemory } from "../cpu/wasm-memory.ts";
import { WasmXxh64 } from "./wasm-xxh64.ts";

/** Checksums of bytes wherever they lie, fastest of those in `memory`; null where there is no WebAssembly. */
export async function loadChecksums(memory: WasmMemory | null): Promise<Checksums> {
  const wasm = memory && (await WasmXxh64.load(memory));
  return wasm ?? (await import("./plain-xxh64.ts")).PLAIN_XXH64;
}

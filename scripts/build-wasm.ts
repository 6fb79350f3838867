/**
 * Compiles wasm/ (AssemblyScript) to src/executor/wasm-module.generated.ts. `npm run build:wasm` writes the file; a
 * test calls {@link buildWasm} and compares, so the committed output is always that of the committed source.
 */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";
import asc from "assemblyscript/asc";

const OUTPUT = new URL("../src/executor/wasm-module.generated.ts", import.meta.url);
const SOURCE_FOLDER = new URL("../wasm/", import.meta.url);

const COMPILER_OPTIONS = [
  "kernels.ts",
  ...["--outFile", "kernels.wasm"],
  ...["--runtime", "stub"],
  ...["--enable", "simd,threads"],
  "--importMemory",
  "--noExportMemory",
  "--sharedMemory",
  ...["--initialMemory", "1", "--maximumMemory", "65536"],
  ...["--use", "abort="],
  ...["--optimizeLevel", "3", "--shrinkLevel", "0", "--converge", "--noAssert"],
];

/** The module's bytes, compiled from wasm/. */
export async function compileWasm(): Promise<Uint8Array> {
  const files = new Map<string, Uint8Array | string>();
  const { error, stderr } = await asc.main([...COMPILER_OPTIONS, "--baseDir", fileURLToPath(SOURCE_FOLDER)], {
    readFile: async (name) => {
      try {
        return await readFile(new URL(name, SOURCE_FOLDER), "utf8");
      } catch {
        return null; // The compiler asks for several spellings of an import.
      }
    },
    writeFile: (name, contents) => {
      files.set(name, contents);
    },
    listFiles: () => [],
  });
  if (error) throw new Error(`AssemblyScript: ${stderr.toString()}`, { cause: error });
  const bytes = files.get("kernels.wasm");
  if (!(bytes instanceof Uint8Array)) throw new Error("AssemblyScript wrote no module");
  return bytes;
}

/**
 * Where the limits byte of the imported memory stands: 3 says "shared, with a maximum", 1 says "with a maximum".
 * It follows the import's names, "env" and "memory", and its kind, 2.
 */
function memoryLimitsOffset(module: Uint8Array): number {
  const names = [3, ...new TextEncoder().encode("env"), 6, ...new TextEncoder().encode("memory"), 2];
  const found: number[] = [];
  for (let at = 0; at + names.length < module.length; at++) {
    if (names.every((byte, i) => module[at + i] === byte)) found.push(at + names.length);
  }
  const [offset] = found;
  if (offset === undefined || found.length !== 1 || module[offset] !== 3) {
    throw new Error("the module does not import exactly one shared memory env.memory");
  }
  return offset;
}

/** The text of wasm-module.generated.ts. */
export async function buildWasm(): Promise<string> {
  const module = await compileWasm();
  return [
    "// Made from wasm/ by `npm run build:wasm`. A test compares the two.",
    "",
    "/** Offset of the memory import's limits byte: 3 as it stands (shared), 1 for a memory that is not shared. */",
    `export const MEMORY_LIMITS_OFFSET = ${memoryLimitsOffset(module)};`,
    "",
    "/** The WebAssembly module, deflated: half of what a page would load otherwise. */",
    `export const WASM_DEFLATED_BASE64 =\n  "${deflateRawSync(module, { level: 9 }).toString("base64")}";`,
    "",
  ].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeFile(OUTPUT, await buildWasm());

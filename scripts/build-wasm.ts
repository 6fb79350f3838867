/**
 * Compiles the modules of wasm/ (AssemblyScript) to the files wasm-….generated.ts of src/executor/. `npm run build:wasm` writes the files;
 * a test calls {@link buildWasm} and compares, so the committed output is always that of the committed source.
 */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";
import asc from "assemblyscript/asc";
import { takesNoWords } from "./command-line.ts";

/** The modules: of each its source in wasm/, and the file that holds it. */
export const WASM_MODULES = ["cpu/kernels", "cpu/many", "checksum/xxh64"].map((path) => {
  const [folder, name] = path.split("/");
  return {
    source: `${name}.ts`,
    output: new URL(`../src/executor/${folder}/wasm-${name}.generated.ts`, import.meta.url),
  };
});
const SOURCE_FOLDER = new URL("../wasm/", import.meta.url);

const COMPILER_OPTIONS = [
  ...["--outFile", "module.wasm"],
  ...["--runtime", "stub"],
  ...["--enable", "simd,threads"],
  "--importMemory",
  "--noExportMemory",
  "--sharedMemory",
  ...["--initialMemory", "1", "--maximumMemory", "65536"],
  ...["--use", "abort="],
  ...["--optimizeLevel", "3", "--shrinkLevel", "0", "--converge", "--noAssert"],
];

/** A module's bytes. */
async function compileWasm(source: string): Promise<Uint8Array> {
  const files = new Map<string, Uint8Array | string>();
  const { error, stderr } = await asc.main([source, ...COMPILER_OPTIONS, "--baseDir", fileURLToPath(SOURCE_FOLDER)], {
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
  const bytes = files.get("module.wasm");
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

/** The text of a generated file. */
export async function buildWasm(source: string): Promise<string> {
  const module = await compileWasm(source);
  return [
    `// Made from wasm/${source} by \`npm run build:wasm\`. A test compares the two.`,
    'import type { DeflatedModule } from "../cpu/wasm-module.ts";',
    "",
    "export const MODULE: DeflatedModule = {",
    `  memoryLimitsAt: ${memoryLimitsOffset(module)},`,
    `  base64:\n    "${deflateRawSync(module, { level: 9 }).toString("base64")}",`,
    "};",
    "",
  ].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  takesNoWords("npm run build:wasm: compiles the kernels of wasm/");
  for (const { source, output } of WASM_MODULES) await writeFile(output, await buildWasm(source));
}

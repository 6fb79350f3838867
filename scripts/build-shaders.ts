/**
 * Puts shaders/ into src/executor/webgpu/kernels/shaders.generated.ts, without comments and blank lines, so that kernels need neither
 * fetch nor fs. `npm run build:shaders` writes the file; a test calls {@link buildShaders} and compares.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { takesNoWords } from "./command-line.ts";

const OUTPUT = new URL("../src/executor/webgpu/kernels/shaders.generated.ts", import.meta.url);
const SOURCE_FOLDER = new URL("../shaders/", import.meta.url);

/** WGSL without line comments and blank lines. */
function strip(wgsl: string): string {
  const lines = wgsl.split("\n").map((line) => line.replace(/\s*\/\/.*$/, ""));
  return lines.filter((line) => line.trim() !== "").join("\n");
}

/** The text of shaders.generated.ts. */
export async function buildShaders(): Promise<string> {
  const names = (await readdir(SOURCE_FOLDER)).filter((name) => name.endsWith(".wgsl")).sort();
  const entries = await Promise.all(
    names.map(async (name) => {
      const wgsl = strip(await readFile(new URL(name, SOURCE_FOLDER), "utf8"));
      return `  ${JSON.stringify(name.slice(0, -".wgsl".length))}: \`${wgsl}\`,\n`;
    }),
  );
  return [
    "// Made from shaders/ by `npm run build:shaders`. A test compares the two. Past 400 lines: it is data, as long as they are.",
    "",
    "/** Every file of shaders/, by its name. */",
    `export const SHADERS = {\n${entries.join("")}} as const;`,
    "",
  ].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  takesNoWords("npm run build:shaders: writes shaders.generated.ts from shaders/");
  await writeFile(OUTPUT, await buildShaders());
}

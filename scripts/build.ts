/**
 * `npm run build`: src/ compiled into dist/, the packages of src/packages/ bundled into dist/packages/, and demo/ into
 * dist/demo/.
 *
 * The compiler rewrites `.ts` import specifiers in JavaScript; in declarations, and in the addresses of workers, it leaves
 * them, and they are rewritten here, so that every consumer's resolver finds the file beside it. The declarations of each
 * entry are then put together without those of modules that no public signature names.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { rollup } from "rollup";
import { dts } from "rollup-plugin-dts";
import { takesNoWords } from "./command-line.ts";

export const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "dist");
const command = join(dist, "cli", "main.js");

/** Files in `folder` and below. */
function filesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

const modified = (file: string) => statSync(file).mtimeMs;

/** Is dist/ complete and newer than everything it is made from? */
export function isBuilt(): boolean {
  if (!existsSync(command)) return false;
  const sources = [
    ...filesIn(join(root, "src")),
    ...filesIn(join(root, "demo")),
    join(root, "package-lock.json"),
    join(root, "tsconfig.json"),
    join(root, "tsconfig.build.json"),
  ];
  return Math.max(...sources.map(modified)) < modified(command);
}

/** Runs a tool to its end, or ends with it. */
function run(tool: string, args: readonly string[]): void {
  const { status } = spawnSync(process.execPath, [tool, ...args], { cwd: root, stdio: "inherit" });
  if (status === 0) return;
  rmSync(dist, { recursive: true, force: true });
  process.exit(status ?? 1);
}

/** The declarations of the entries, and nothing else: chunks are what several entries have in common. */
async function rollUpDeclarations(): Promise<void> {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const entries = Object.values<{ types?: string }>(exports).flatMap(({ types }) => types ?? []);
  const input = Object.fromEntries(
    entries.map((types) => [types.replace(/^.\/dist\/|\.d\.ts$/g, ""), join(root, types)]),
  );
  const bundle = await rollup({
    input,
    plugins: [dts()],
    external: (id) => !/^[./]/.test(id),
    onLog: (_, { message }) => {
      // test/package.test.ts says which types have no public name.
      if (!message.includes("private shared type exports")) throw new Error(message);
    },
  });
  const { output } = await bundle.generate({ entryFileNames: "[name].d.ts", chunkFileNames: "types/[name].ts" });
  for (const file of filesIn(dist)) if (file.endsWith(".d.ts")) rmSync(file);
  mkdirSync(join(dist, "types"));
  for (const part of output) {
    if (part.type === "chunk") writeFileSync(join(dist, part.fileName), withLibrary(part.code));
  }
}

/** What `await using` needs is in no library that a compiler takes by itself. */
function withLibrary(declarations: string): string {
  const needs = /asyncDispose|AsyncDisposable/.test(declarations);
  return needs ? `/// <reference lib="esnext.disposable" />\n${declarations}` : declarations;
}

/** Compiles, or exits with the compiler's messages. */
export async function build(): Promise<void> {
  rmSync(dist, { recursive: true, force: true });
  const require = createRequire(import.meta.url);
  run(require.resolve("typescript/bin/tsc"), ["-p", "tsconfig.build.json"]);
  for (const file of filesIn(dist)) {
    const pattern = file.endsWith(".d.ts")
      ? /((?:from|import)\s*\(?\s*"\.\.?\/[^"]*)\.ts"/g
      : /(new (?:Shared)?Worker\(new URL\("\.[^"]*)\.ts"/g;
    const text = readFileSync(file, "utf8");
    const rewritten = text.replace(pattern, '$1.js"');
    if (rewritten !== text) writeFileSync(file, rewritten);
  }
  await rollUpDeclarations();
  const vite = join(dirname(require.resolve("vite/package.json")), "bin", "vite.js");
  run(vite, ["build", "--config", "scripts/packages.vite.config.ts"]);
  for (const style of ["look.css", "report.css"])
    copyFileSync(join(root, "src/cli/page", style), join(dist, "cli/page", style));
  const page = (source: string, target: string) =>
    run(vite, [...["build", source, "--outDir", target, "--config", "scripts/pages.vite.config.ts"]]);
  page("demo", "../dist/demo");
  page("demo/trace", "../../dist/demo/trace");
  page("demo/browser", "../../dist/demo/browser");
  writeFileSync(command, readFileSync(command));
  chmodSync(command, 0o755);
}

if (pathToFileURL(process.argv[1] ?? "").href === import.meta.url) {
  takesNoWords("npm run build: compiles src/ and demo/ into dist/");
  await build();
}

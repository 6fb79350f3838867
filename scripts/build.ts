/**
 * `npm run build`: src/ compiled into dist/.
 *
 * The compiler rewrites `.ts` import specifiers in JavaScript; in declarations it leaves them, and they are rewritten
 * here, so that every consumer's resolver finds the file beside it.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

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
  const sources = [...filesIn(join(root, "src")), join(root, "tsconfig.json"), join(root, "tsconfig.build.json")];
  return Math.max(...sources.map(modified)) < modified(command);
}

/** Compiles, or exits with the compiler's messages. */
export function build(): void {
  rmSync(dist, { recursive: true, force: true });
  const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const { status } = spawnSync(process.execPath, [compiler, "-p", "tsconfig.build.json"], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) {
    rmSync(dist, { recursive: true, force: true });
    process.exit(status ?? 1);
  }
  for (const file of filesIn(dist).filter((name) => name.endsWith(".d.ts"))) {
    const text = readFileSync(file, "utf8");
    const rewritten = text.replace(/((?:from|import)\s*\(?\s*")(\.\.?\/[^"]*)\.ts"/g, '$1$2.js"');
    if (rewritten !== text) writeFileSync(file, rewritten);
  }
  writeFileSync(command, readFileSync(command));
  chmodSync(command, 0o755);
}

if (pathToFileURL(process.argv[1] ?? "").href === import.meta.url) build();

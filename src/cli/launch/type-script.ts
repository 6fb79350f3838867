/** How a TypeScript program is run: by Node itself, or through tsx. */
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UsageError } from "../usage.ts";

/**
 * The URL of tsx, from the project of `script` or from beside webccl; null where Node runs `files` without it.
 * @throws UsageError if it is needed and not there.
 */
export function typeScriptLoader(files: readonly string[], script: string): string | null {
  const typed = files.find((file) => /\.[mc]?tsx?$/.test(file));
  if (typed === undefined || stripsTypes()) return null;
  const tsx = findTsx(script);
  if (tsx !== null) return pathToFileURL(tsx).href;
  throw new UsageError(
    `${typed} is TypeScript, which Node ${process.versions.node} does not run by itself: ` +
      "install tsx beside it (npm install --save-dev tsx), or use Node 22.18 or later",
  );
}

/** How a .ts file of the working folder would be run, or null if nothing here can. */
export function typeScriptRunner(): string | null {
  if (stripsTypes()) return "by Node itself";
  return findTsx(resolve("script.ts")) && "through tsx";
}

const stripsTypes = () => Boolean((process.features as { typescript?: unknown }).typescript);

function findTsx(script: string): string | null {
  for (const from of [script, fileURLToPath(import.meta.url)]) {
    try {
      return createRequire(from).resolve("tsx");
    } catch {
      // Not installed there.
    }
  }
  return null;
}

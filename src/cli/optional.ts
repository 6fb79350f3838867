/** Packages that only some commands need, and that are therefore the caller's to install. */
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { UsageError } from "./usage.ts";

/**
 * Imports `name` from beside webccl, or from the working folder's project.
 * @throws UsageError if it is in neither.
 */
export async function importOptional<T>(name: string, why: string): Promise<T> {
  for (const from of [import.meta.url, pathToFileURL(resolve("script.ts"))]) {
    let path: string;
    try {
      path = createRequire(from).resolve(name);
    } catch {
      continue; // Not installed there.
    }
    const module = await import(pathToFileURL(path).href);
    return module.default ?? module;
  }
  throw new UsageError(`the package ${name} is not installed, and ${why}: npm install --save-dev ${name}`);
}

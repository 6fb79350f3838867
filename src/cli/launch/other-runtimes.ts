/** How a program is run by Deno, and by Bun. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UsageError } from "../usage.ts";

/**
 * The executable: of the npm package deno, beside webccl or in the working folder's project, else the PATH's.
 * @throws UsageError if there is none.
 */
export function denoExecutable(): string {
  const { arch, platform } = process;
  const libc = platform === "linux" ? "-glibc" : "";
  const ending = platform === "win32" ? ".exe" : "";
  for (const from of [import.meta.url, pathToFileURL(resolve("script.ts"))]) {
    try {
      // The package's own binary is put in place by an install script, which may not have run.
      const require = createRequire(createRequire(from).resolve("deno/package.json"));
      return require.resolve(`@deno/${platform}-${arch}${libc}/deno${ending}`);
    } catch {
      // Not installed there.
    }
  }
  if (spawnSync("deno", ["--version"]).status === 0) return "deno";
  throw new UsageError("Deno is not installed: npm install --save-dev deno, or put deno on the PATH");
}

/** What a rank in Deno has in its environment beside the others': without it Vulkan's drivers complain twice. */
export function denoEnvironment(): NodeJS.ProcessEnv {
  return { XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir() };
}

/** Arguments that run `script`, and before it the modules `preloads`. */
export function denoArguments(script: string, args: readonly string[], preloads: readonly URL[] = []): string[] {
  return ["run", "--allow-all", "--quiet", ...preloads.map(({ href }) => `--preload=${href}`), script, ...args];
}

/**
 * Bun's executable: of the npm package bun, beside webccl or in the working folder's project, else the PATH's.
 * @throws UsageError if there is none.
 */
export function bunExecutable(): string {
  if ("bun" in process.versions) return process.execPath;
  for (const from of [import.meta.url, pathToFileURL(resolve("script.ts"))]) {
    try {
      // As with Deno's.
      const require = createRequire(createRequire(from).resolve("bun/package.json"));
      const own = `@oven/bun-${process.platform}-${process.arch}`;
      const path = join(
        require.resolve(`${own}/package.json`),
        "../bin",
        process.platform === "win32" ? "bun.exe" : "bun",
      );
      if (existsSync(path)) return path;
    } catch {
      // Not installed there.
    }
  }
  if (spawnSync("bun", ["--version"]).status === 0) return "bun";
  throw new UsageError("Bun is not installed: npm install --save-dev bun, or put bun on the PATH");
}

/** Arguments with which Bun runs `script`, and before it the modules `preloads`. */
export function bunArguments(script: string, args: readonly string[], preloads: readonly URL[] = []): string[] {
  return ["run", ...preloads.flatMap((url) => ["--preload", fileURLToPath(url)]), script, ...args];
}

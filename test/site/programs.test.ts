/** The whole programs in docs/, those whose first line is the name of a file: they run, and print what the page shows. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { build, isBuilt } from "../../scripts/build.ts";
import { markdownFiles } from "../../scripts/site/pages.ts";
import { storeCases } from "../../src/testing/index.ts";
import { gpuEnvironment } from "../helpers/gpu.ts";
import { outputOf } from "../helpers/output-of.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** Inside the package, so that the programs find it by its name. */
const folder = join(root, "test-results/programs");
const TSX = createRequire(import.meta.url).resolve("tsx/cli");

/** What `npx` starts. */
const COMMANDS: Readonly<Record<string, readonly string[]>> = { webccl: [join(root, "dist/cli/main.js")], tsx: [TSX] };

interface Program {
  name: string;
  code: string;
  /** The command line that the page shows, and what it prints. */
  shown: { command: string; lines: string[] } | null;
}

function programsOf(page: string): Program[] {
  const blocks = page.matchAll(
    /```ts\n\/\/ ([\w-]+\.ts)\n([\s\S]*?)\n```(?:\n\n```console\n\$ (.*)\n([\s\S]*?)\n```)?/g,
  );
  return [...blocks].map(([, name, code, command, lines]) => ({
    name: name!,
    code: code!,
    shown: command === undefined ? null : { command, lines: lines!.split("\n") },
  }));
}

const pages = markdownFiles(root)
  .filter((file) => file !== "README.md")
  .map((file) => ({ file, programs: programsOf(readFileSync(join(root, file), "utf8")) }))
  .filter(({ programs }) => programs.length > 0);
const programs = pages.flatMap(({ file, programs }) => programs.map((program) => ({ file, ...program })));

describe("the programs in docs/", { timeout: 60_000 }, () => {
  beforeAll(async () => {
    if (!isBuilt()) await build();
    rmSync(folder, { recursive: true, force: true });
    for (const { file, name, code } of programs) {
      mkdirSync(join(folder, basename(file)), { recursive: true });
      writeFileSync(join(folder, basename(file), name), code);
    }
  }, 180_000);

  it("are there", () => {
    expect(programs.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["mean.ts", "sum-on-gpu.ts", "farthest.ts", "table-store.ts", "meet.ts"]),
    );
  });

  it.each(programs.filter(({ shown }) => shown))("$name prints what $file shows", async ({ file, shown }) => {
    const [npx, command = "", ...args] = shown!.command.split(" ");
    expect(npx).toBe("npx");
    const paths = args.map((arg) => (arg.endsWith(".ts") ? join(folder, basename(file), arg) : arg));
    const output = await outputOf({
      command: process.execPath,
      args: [...COMMANDS[command]!, ...paths],
      env: process.env,
    });
    expect(output.trim().split("\n").sort()).toEqual(shown!.lines.toSorted());
  });

  it("sum-on-gpu.ts runs", async () => {
    const program = join(folder, "gpu-buffers.md/sum-on-gpu.ts");
    const args = [...COMMANDS.webccl!, "run", "-n", "2", program];
    await outputOf({ command: process.execPath, args, env: { ...process.env, ...gpuEnvironment() } });
  });

  describe("table-store.ts is a store", () => {
    for (const { name, run } of storeCases()) {
      it(name, async () => {
        const { TableStore } = await import(pathToFileURL(join(folder, "writing-a-store.md/table-store.ts")).href);
        await run(() => {
          const table = new Map();
          return { store: new TableStore(table), other: new TableStore(table) };
        });
      });
    }
  });
});

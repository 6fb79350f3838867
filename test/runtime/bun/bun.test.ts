/** Bun, on which webccl does not run: every entry refuses in one sentence, and nothing hangs. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../helpers/temporary-folder.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SENTENCE = "webccl does not run on Bun: run this program with Node 20 or later, or Deno 2";

/** The binary: an install script, which may not have run, moves it from the platform's package into that of Bun. */
function bun(): string {
  const own = createRequire(import.meta.url).resolve("bun/package.json");
  const platform = createRequire(own).resolve(`@oven/bun-${process.platform}-${process.arch}/package.json`);
  const places = [join(platform, "../bin/bun"), join(own, "../bin/bun.exe")];
  const binary = places.find((path) => existsSync(path));
  if (binary === undefined) throw new Error(`there is no Bun at ${places.join(" or ")}`);
  return binary;
}

/** What Bun, in a project that has webccl, prints of a program, or of the arguments `args`. */
async function printed(
  text: string,
  args: readonly string[] = ["program.mjs"],
): Promise<{ code: number; said: string }> {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(ROOT, join(folder, "node_modules", "webccl"));
  writeFileSync(join(folder, "program.mjs"), text);
  const ranks = { RANK: "0", WORLD_SIZE: "2", MASTER_PORT: "1" };
  const child = spawn(bun(), args, {
    cwd: folder,
    env: { ...process.env, ...ranks },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, error] = await Promise.all([child.stdout.toArray(), child.stderr.toArray()]);
  const code = child.exitCode ?? (await new Promise<number>((resolve) => child.once("close", resolve)));
  return { code, said: [...out, ...error].join("") };
}

describe("Bun", () => {
  it.each([
    ["initProcessGroup()", "import { initProcessGroup } from 'webccl'; await initProcessGroup();"],
    ["spawnRanks()", "import { spawnRanks } from 'webccl'; await spawnRanks(2, 'rank.js');"],
    ["FileStore", "import { FileStore } from 'webccl'; new FileStore('/tmp/x');"],
    [
      "TcpStore.connect()",
      "import { TcpStore } from 'webccl'; await TcpStore.connect({ host: '127.0.0.1', port: 1 });",
    ],
    ["HubStore.connect()", "import { HubStore } from 'webccl'; await HubStore.connect('ws://127.0.0.1:1/a');"],
    ["WorkerServer", "import { WorkerServer } from 'webccl'; new WorkerServer({ port: 0 });"],
    ["createHub()", "import { createHub } from 'webccl/hub'; await createHub({ port: 0 });"],
  ])("is refused by %s", async (_, text) => {
    const { code, said } = await printed(
      `try { await (async () => { ${text.replace(/import (.*?) from '(.*?)';/, "const $1 = await import('$2');")} })(); } catch (error) { console.log(String(error)); process.exit(3); }`,
    );
    expect({ code, said }).toEqual({ code: 3, said: `UnsupportedError: ${SENTENCE}\n` });
  });

  it("is refused by the command", async () => {
    const { code, said } = await printed("", [join(ROOT, "dist/cli/main.js"), "run", "-n", "2", "program.mjs"]);
    expect({ code, said }).toEqual({ code: 1, said: `webccl: ${SENTENCE}\n` });
  });

  it("has what needs no ranks", async () => {
    const { said } = await printed(
      "import { evenShare } from 'webccl'; import * as ddp from 'webccl/ddp'; console.log(evenShare(7, 1, 2).count, typeof ddp.Reducer);",
    );
    expect(said).toBe("3 function\n");
  });
});

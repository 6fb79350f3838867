/** Bun as a rank beside Node and Deno, and as the host of a hub. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { bunExecutable } from "../../../src/cli/launch/other-runtimes.ts";
import { PeerLostError } from "../../../src/errors.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { expectedSums } from "../../helpers/alloc-sums.ts";
import { freePort } from "../../helpers/free-port.ts";
import { temporaryFolder } from "../../helpers/temporary-folder.ts";
import { runProcess, startProgram } from "../processes.ts";
import { itRunsEveryCollective, itServesAHub } from "../runtime-cases.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** A rank as users write one, which prints its runtime, its links and a sum. */
const PROGRAM = `
import { initProcessGroup } from "webccl";
const group = await initProcessGroup({ backend: "cpu", timeoutMs: 30_000 });
const tensor = group.alloc("f32", 1_000).fill(group.rank + 1);
await group.allReduce(tensor);
const { link } = group.info().ranks[group.rank === 0 ? 1 : 0];
const own = group.info().ranks[group.rank].runtime;
console.log([own, link, tensor[999]].join(" "));
await group.destroy();
`;

/** Runs the command by `executable` in a project that has webccl. */
async function webccl(
  executable: string,
  args: readonly string[],
): Promise<{ code: number; lines: string[]; said: string }> {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(ROOT, join(folder, "node_modules", "webccl"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "program.js"), PROGRAM);
  const child = spawn(executable, [join(ROOT, "dist/cli/main.js"), ...args, "program.js"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const closed = once(child, "close");
  const [out, error] = await Promise.all([child.stdout.toArray(), child.stderr.toArray()]);
  const [code] = await closed;
  return { code, lines: out.join("").trim().split("\n").sort(), said: error.join("") };
}

describe("Bun ranks", { timeout: 60_000 }, () => {
  itRunsEveryCollective([
    ["websocket", "bun", "node", "deno"],
    ["hub", "bun", "node", "deno"],
    ["hub", "node", "bun", "bun"],
    ["mapped-memory", "bun", "node", "deno"],
    ["shared-file", "deno", "bun", "bun"],
  ]);

  it("get tensors from alloc() that are summed as their dtype", async () => {
    const initMethod = `tcp://127.0.0.1:${await freePort()}`;
    const outcomes = await Promise.all(
      [0, 1].map((rank) =>
        runProcess("bun", { task: { name: "sum" }, options: { initMethod, rank, worldSize: 2, timeoutMs: 25_000 } }),
      ),
    );
    for (const outcome of outcomes) expect(outcome).toMatchObject({ runtime: "bun", sums: expectedSums(2) });
  });

  it("are started by webccl run beside Node and Deno", async () => {
    const { code, lines, said } = await webccl(process.execPath, ["run", "-n", "4", "--bun", "2", "--deno", "1"]);
    expect({ code, said }).toEqual({ code: 0, said: "" });
    const runtimes = ["node", "bun", "bun", "deno"];
    expect(lines).toEqual(runtimes.map((runtime, rank) => `[${rank}] ${runtime} mapped-memory 10`));
  });

  it.each([
    ["processes", [], "mapped-memory"],
    ["threads", ["--threads"], "shared-memory"],
  ] as const)("are started as %s by the command where Bun runs it", async (_, flags, link) => {
    const { code, lines, said } = await webccl(bunExecutable(), ["run", "-n", "3", ...flags]);
    expect({ code, said }).toEqual({ code: 0, said: "" });
    expect(lines).toEqual([0, 1, 2].map((rank) => `[${rank}] bun ${link} 6`));
  });

  /** A rank in Bun that goes on for ever, and rank 0 here, over a hub in Bun or links of their own. */
  async function besideBun(transport: "hub" | "websocket", peerTimeoutMs: number) {
    const initMethod = `tcp://127.0.0.1:${await freePort()}`;
    const options = { initMethod, worldSize: 2, transport, peerTimeoutMs, timeoutMs: 60_000, backend: "cpu" } as const;
    const task = { name: "allReduce", dtype: "f32", bytes: 4_000, times: 1_000_000 } as const;
    const child = await startProgram("bun", "bun/program.ts", {
      JOB: JSON.stringify({ task, options: { ...options, rank: 1 } }),
    });
    const group = await initProcessGroup({ ...options, rank: 0 });
    const data = new Float32Array(1_000);
    const untilFailed = async () => {
      for (;;) {
        await group.barrier();
        await group.allReduce(data);
      }
    };
    await group.barrier();
    await group.allReduce(data);
    return { child, group, untilFailed };
  }

  it.each([
    ["hub", "SIGKILL"],
    ["websocket", "SIGKILL"],
    ["hub", "SIGSTOP"],
    ["websocket", "SIGSTOP"],
  ] as const)(
    "are lost to the others over %s by %s, which leaves a connection half-open",
    async (transport, signal) => {
      const { child, group, untilFailed } = await besideBun(transport, 2_000);
      const failed = untilFailed();
      child.kill(signal);
      await expect(failed).rejects.toThrow(PeerLostError);
      await expect(failed).rejects.toThrow(/rank 1 was lost/);
      child.kill("SIGKILL");
      await group.destroy();
    },
  );
});

describe("createHub() on Bun", () => {
  itServesAHub("bun");
});

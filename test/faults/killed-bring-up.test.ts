/** Whatever moment of its bring-up a rank dies in, no file stays behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { start } from "../cli/command.ts";
import { freePort } from "../helpers/free-port.ts";
import { familyOf, sharedFilesOf } from "../helpers/shared-files.ts";

const PROGRAM = fileURLToPath(new URL("./programs/dying-bring-up.mjs", import.meta.url));
const WAITING = fileURLToPath(new URL("./programs/waiting-bring-up.mjs", import.meta.url));

/** Two ranks, of which rank `victim` gets `signal` at its call number `diesAt`; for 0 both live. */
async function startPair(victim: number, diesAt: number, signal: NodeJS.Signals): Promise<ChildProcess[]> {
  const port = await freePort();
  return [0, 1].map((rank) =>
    spawn(process.execPath, [PROGRAM], {
      env: {
        ...process.env,
        ...{ RANK: `${rank}`, WORLD_SIZE: "2", MASTER_PORT: `${port}`, SIGNAL: signal },
        DIES_AT: rank === victim ? `${diesAt}` : "0",
      },
      stdio: ["ignore", "pipe", "ignore"],
    }),
  );
}

const ended = async (child: ChildProcess) => {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.signalCode ?? child.exitCode;
};

const namesOf = (children: readonly ChildProcess[]) => sharedFilesOf(children.map(({ pid }) => pid));

/** Lets a pair live, which must share files; resolves with the number of calls that rank 0 made. */
async function livingPair(): Promise<number> {
  const pair = await startPair(0, 0, "SIGTERM");
  const said = once(pair[0]!.stdout!.setEncoding("utf8"), "data");
  expect(await Promise.all(pair.map(ended))).toEqual([0, 0]);
  const { calls, link } = JSON.parse((await said)[0]);
  expect(link).toBe("shared-file");
  expect(namesOf(pair)).toEqual([]);
  return calls;
}

describe("a rank that dies in its bring-up", () => {
  it("leaves no file, or the next start takes it away", { timeout: 240_000 }, async () => {
    const calls = await livingPair();
    const signals = fc.constantFrom<NodeJS.Signals>("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL");
    const moment = fc.record({
      victim: fc.nat({ max: 1 }),
      diesAt: fc.integer({ min: 1, max: calls }),
      signal: signals,
    });
    let left = 0;
    await fc.assert(
      fc.asyncProperty(moment, async ({ victim, diesAt, signal }) => {
        const pair = await startPair(victim, diesAt, signal);
        const how = await ended(pair[victim]!);
        // At its last calls the rank may have ended first; a signal that came is how it ended.
        if (how !== 0) expect(how).toBe(signal);
        if (signal !== "SIGKILL") expect(namesOf([pair[victim]!])).toEqual([]);
        left += namesOf([pair[victim]!]).length;
        pair[1 - victim]!.kill("SIGTERM");
        await ended(pair[1 - victim]!);
        expect(namesOf([pair[1 - victim]!])).toEqual([]);
        await livingPair();
        expect(namesOf(pair)).toEqual([]);
      }),
      { numRuns: 16, examples: [[{ victim: 0, diesAt: Math.floor(calls / 2), signal: "SIGKILL" }]] },
    );
    // The property would hold of files that never had names: SIGKILL in the middle leaves one.
    expect(left).toBeGreaterThan(0);
  });

  it.each([
    ["a process of Node", []],
    ["a thread", ["--threads"]],
    ["a process of Deno", ["--deno", "2"]],
  ])("leaves no file as %s that its launcher ends", { timeout: 60_000 }, async (_, flags) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      const command = start(["run", "-n", "2", ...flags, WAITING]);
      const family = await vi.waitFor(
        () => {
          const pids = familyOf(command.process.pid!);
          expect(sharedFilesOf(pids)).not.toEqual([]);
          return pids;
        },
        { timeout: 20_000, interval: 10 },
      );
      command.process.kill(signal);
      expect((await command.ended).stderr).toContain(`stopped by ${signal}`);
      expect(sharedFilesOf(family)).toEqual([]);
    }
  });
});

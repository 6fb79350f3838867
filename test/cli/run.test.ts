import { fileURLToPath } from "node:url";
import { describe, expect, it, vi } from "vitest";
import { splitRunArguments } from "../../src/cli/commands/run.ts";
import { type Command, isRunning, program, start, webccl } from "./command.ts";

const lines = (text: string) => text.split("\n").filter((line) => line !== "");

/** Waits until `count` ranks of end.mjs have said their process id. */
async function processIds(command: Command, count: number): Promise<number[]> {
  const match = await command.printed(new RegExp(`(?:pid \\d+\\n[^]*?){${count}}`));
  return [...match.input!.matchAll(/pid (\d+)/g)].map(([, pid]) => Number(pid));
}

const allGone = (pids: readonly number[]) =>
  vi.waitFor(() => expect(pids.filter(isRunning)).toEqual([]), { timeout: 10_000, interval: 20 });

describe("webccl run", () => {
  it("starts a mixed group of Node, Deno and browsers", { timeout: 120_000 }, async () => {
    const mixed = fileURLToPath(new URL("../../examples/mixed.ts", import.meta.url));
    const { code, stdout, stderr } = await webccl(["run", "-n", "4", "--browsers", "2", "--deno", "1", mixed]);
    expect(stderr).not.toMatch(/Error/);
    expect(stdout).toContain("[0] node, deno, browser, browser: all equal");
    expect(code).toBe(0);
  });

  it("refuses more ranks of a kind than there are ranks, and kinds that do not go together", async () => {
    for (const [args, text] of [
      [["-n", "2", "--browsers", "2", "--deno", "1"], "--deno 1 and --browsers 2 are more than -n 2"],
      [["-n", "2", "--threads", "--deno", "1"], "--threads are of Node"],
      [["-n", "2", "--hub", "ws://127.0.0.1:1", "--browsers", "1"], "leave --hub out"],
    ] as const) {
      const { code, stderr } = await webccl(["run", ...args, program("environment.mjs")]);
      expect(stderr).toContain(text);
      expect(code).toBe(2);
    }
  });

  it("gives every rank the env:// variables and the script's arguments", async () => {
    const { code, stdout } = await webccl(["run", "-n", "3", program("environment.mjs"), "--json", "-n", "9"]);
    expect(code).toBe(0);
    const ranks = lines(stdout).map((line) => {
      const [, prefix, json] = /^\[(\d)\] (.*)$/.exec(line)!;
      return { prefix, ...JSON.parse(json!) };
    });
    expect(ranks.map(({ env }) => env.RANK).sort()).toEqual(["0", "1", "2"]);
    for (const { prefix, env, args, commandLine } of ranks) {
      expect(env).toMatchObject({
        WORLD_SIZE: "3",
        LOCAL_RANK: prefix,
        LOCAL_WORLD_SIZE: "3",
        MASTER_ADDR: "127.0.0.1",
      });
      expect(env.RANK).toBe(prefix);
      expect(Number(env.MASTER_PORT)).toBeGreaterThan(0);
      expect(args).toEqual(["--json", "-n", "9"]);
      expect(env.WEBCCL_TOKEN).toMatch(/^[0-9a-f]{64}$/);
      expect(commandLine).not.toContain(env.WEBCCL_TOKEN);
    }
    expect(new Set(ranks.map(({ env }) => `${env.MASTER_PORT} ${env.WEBCCL_TOKEN}`)).size).toBe(1);
  });

  it("keeps a token that is set, and leaves one rank's output as it is", async () => {
    const { stdout } = await webccl(["run", "-n", "1", program("environment.mjs")], { WEBCCL_TOKEN: "from outside" });
    expect(JSON.parse(stdout).env.WEBCCL_TOKEN).toBe("from outside");
  });

  it("runs TypeScript, and ends a last line that has no end", async () => {
    const { code, stdout } = await webccl(["run", "-n", "2", program("typed.ts")]);
    expect({ code, lines: lines(stdout).sort() }).toEqual({ code: 0, lines: ["[0] typed 0", "[1] typed 1"] });
  });

  it("runs the ranks as threads, TypeScript too", async () => {
    const { code, stdout } = await webccl(["run", "-n", "3", "--threads", program("sum.ts")]);
    expect({ code, lines: lines(stdout).sort() }).toEqual({ code: 0, lines: ["[0] sum 6", "[1] sum 6", "[2] sum 6"] });
  });

  it("starts many more threads than there are cores", { timeout: 240_000 }, async () => {
    const { code, stdout, stderr } = await webccl(["run", "-n", "64", "--threads", program("thread-sum.mjs")]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [, json] = /^\[0\] (.*)$/m.exec(stdout)!;
    expect(JSON.parse(json!)).toMatchObject({ size: 64, sum: 2016, kinds: ["self", "shared-memory"] });
  });

  it("ends the other threads when one exits with a code, and exits with that code", async () => {
    const { code, stderr } = await webccl(["run", "-n", "3", "--threads", program("end.mjs"), "1", "3"]);
    expect(code).toBe(3);
    expect(lines(stderr).at(-1)).toMatch(/^webccl run: rank 1 exited with code 3; the others: 0 /);
  });

  it("ends the others when a rank exits with a code, and exits with that code", async () => {
    const command = start(["run", "-n", "3", program("end.mjs"), "1", "3"]);
    const pids = await processIds(command, 3);
    const { code, stderr } = await command.ended;
    expect(code).toBe(3);
    expect(lines(stderr).at(-1)).toBe("webccl run: rank 1 exited with code 3; the others: 0 SIGTERM, 2 SIGTERM");
    expect(pids.filter(isRunning)).toEqual([]);
  });

  it("says which rank was killed, and kills those that ignore SIGTERM", async () => {
    const command = start(["run", "-n", "3", program("end.mjs"), "2", "SIGKILL", "stubborn"]);
    const pids = await processIds(command, 3);
    const { code, stderr } = await command.ended;
    expect(code).toBe(128 + 9);
    expect(lines(stderr).at(-1)).toBe("webccl run: rank 2 was killed by SIGKILL; the others: 0 SIGKILL, 1 SIGKILL");
    expect(pids.filter(isRunning)).toEqual([]);
  });

  it("lets the survivors of a group say whom they lost", async () => {
    const { code, stdout, stderr } = await webccl(["run", "-n", "3", program("lost.ts")]);
    expect(code).toBe(128 + 9);
    expect(lines(stdout).sort()).toEqual(["[0] PeerLostError: lost 2", "[1] PeerLostError: lost 2"]);
    expect(lines(stderr).at(-1)).toBe("webccl run: rank 2 was killed by SIGKILL; the others: 0 code 7, 1 code 7");
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("leaves no process behind on %s", async (signal, expected) => {
    const command = start(["run", "-n", "2", program("end.mjs"), "nobody", "0"]);
    const pids = await processIds(command, 2);
    expect(pids.filter(isRunning)).toEqual(pids);
    command.process.kill(signal);
    const { code, stderr } = await command.ended;
    expect(code).toBe(expected);
    expect(lines(stderr).at(-1)).toBe(`webccl run: stopped by ${signal}; 2 ranks ended`);
    expect(pids.filter(isRunning)).toEqual([]);
  });

  it("leaves no process behind when nobody reads its output any more", async () => {
    const command = start(["run", "-n", "2", program("chatter.mjs")]);
    const pids = await processIds(command, 2);
    command.process.stdout!.destroy();
    expect((await command.ended).code).toBe(128 + 13);
    expect(pids.filter(isRunning)).toEqual([]);
  });

  it("leaves no process behind when it is killed itself", async () => {
    const command = start(["run", "-n", "2", program("end.mjs"), "nobody", "0"]);
    const pids = await processIds(command, 2);
    command.process.kill("SIGKILL");
    await allGone(pids);
    expect((await command.ended).signal).toBe("SIGKILL");
  });

  it.each([
    [["run", "-n", "2"], "run needs a script: webccl run -n 4 script.ts"],
    [["run", "script.mjs"], "-n is missing; flags go before the script: webccl run -n 4 script.ts"],
    [["run", "-n", "0", "script.mjs"], "-n must be a whole number of at least 1, got 0"],
    [["run", "-n", "two", "script.mjs"], "-n must be a whole number of at least 1, got two"],
    [["run", "-n", "2", "nowhere.mjs"], "no such script: nowhere.mjs"],
    [["run", "--rank", "2", "nowhere.mjs"], "unknown flag --rank for run; did you mean --ranks?"],
    [["run", "-n", "2", "--processes", "nowhere.mjs"], "unknown flag --processes for run"],
    [["run", "-n", "2", "--thread", "nowhere.mjs"], "unknown flag --thread for run; did you mean --threads?"],
  ])("refuses %j", async (args, message) => {
    const { code, stdout, stderr } = await webccl(args);
    expect({ code, stdout, message: lines(stderr)[0] }).toEqual({ code: 2, stdout: "", message: `webccl: ${message}` });
  });
});

describe("splitRunArguments", () => {
  const flags = new Set(["-n", "--ranks", "--hub"]);

  it.each([
    ["-n 4 a.ts -n 5", "-n 4 a.ts", "-n 5"],
    ["--ranks=4 a.ts", "--ranks=4 a.ts", ""],
    ["--hub ws://host:1/g -n 2 a.ts x", "--hub ws://host:1/g -n 2 a.ts", "x"],
    ["-n 4 -- a.ts --help", "-n 4 a.ts", "--help"],
    ["-n 4 --help a.ts", "-n 4 --help", ""],
  ])("cuts %j", (argv, own, rest) => {
    const words = (text: string) => text.split(" ").filter((word) => word !== "");
    expect(splitRunArguments(words(argv), flags)).toEqual([words(own), words(rest)]);
  });
});

/** `webccl run` as its user sees it. More than 400 lines, most of them tables of flags, failures and their texts. */
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { splitRunArguments } from "../../src/cli/commands/run.ts";
import { type Command, isRunning, program, start, webccl } from "./command.ts";

/** The living processes that have `mark` in their environment. */
function marked(mark: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "latin1").includes(mark);
      } catch {
        return false; // It has ended meanwhile.
      }
    });
}

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
    // Deno opens its GPU, and drivers complain of it where a variable is not set.
    expect(stderr).not.toMatch(/Error|XDG_RUNTIME_DIR/);
    expect(stdout).toContain("[0] node, deno, browser, browser: all equal");
    expect(code).toBe(0);
  });

  it.each(["throws-later", "rejects-later"])("ends at once when the program of a tab %s", async (name) => {
    const { code, stderr } = await webccl(["run", "-n", "2", "--browsers", "1", program(`${name}.mjs`)]);
    expect(stderr).toMatch(/\[1\] .*nobody waits for this/);
    expect(code).toBe(1);
  });

  it.each([[], ["--threads"]])("runs the example of a persistent call, %j", async (...more) => {
    const example = fileURLToPath(new URL("../../examples/persistent.ts", import.meta.url));
    const { code, stdout } = await webccl(["run", "-n", "2", ...more, example]);
    for (const rank of [0, 1]) {
      expect(stdout).toContain(`rank ${rank} of 2: the averages of 1000 steps add up to 500000`);
    }
    expect(code).toBe(0);
  });

  it("runs the example of a backend of one's own", async () => {
    const example = fileURLToPath(new URL("../../examples/own-backend.ts", import.meta.url));
    const { code, stdout } = await webccl(["run", "-n", "3", example]);
    for (const rank of [0, 1, 2]) {
      expect(stdout).toContain(`store, rank ${rank}: 6 60`);
      expect(stdout).toContain(`rank ${rank}: UnsupportedError: Backend store does not support allGatherObject`);
    }
    expect(code).toBe(0);
  });

  it("refuses more ranks of a kind than there are ranks, and kinds that do not go together", async () => {
    for (const [args, text] of [
      [["-n", "2", "--browsers", "2", "--deno", "1"], "--bun 0, --deno 1 and --browsers 2 are more than -n 2"],
      [["-n", "2", "--threads", "--deno", "1"], "--threads are of one process"],
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
    expect(lines(stderr).at(-1)).toMatch(
      /^webccl run: rank 1 exited with code 3; the others: 0 .*; webccl ended 0, 2 itself, 2 s after that: --no-kill lets them go on$/,
    );
  });

  it("ends the others when a rank exits with a code, and exits with that code", async () => {
    const command = start(["run", "-n", "3", program("end.mjs"), "1", "3"]);
    const pids = await processIds(command, 3);
    const { code, stderr } = await command.ended;
    expect(code).toBe(3);
    expect(lines(stderr).at(-1)).toBe(
      "webccl run: rank 1 exited with code 3; the others: 0 SIGTERM, 2 SIGTERM; webccl ended 0, 2 itself, 2 s after that: " +
        "--no-kill lets them go on; --max-restarts 1 starts rank 1 again, too",
    );
    expect(pids.filter(isRunning)).toEqual([]);
  });

  it("says which rank was killed, and kills those that ignore SIGTERM", async () => {
    const command = start(["run", "-n", "3", program("end.mjs"), "2", "SIGKILL", "stubborn"]);
    const pids = await processIds(command, 3);
    const { code, stderr } = await command.ended;
    expect(code).toBe(128 + 9);
    expect(lines(stderr).at(-1)).toMatch(
      /^webccl run: rank 2 was killed by SIGKILL; the others: 0 SIGKILL, 1 SIGKILL; webccl ended 0, 1 itself, 2 s after that: /,
    );
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

  it("leaves no process behind, of Node or Deno, at whatever moment it is killed", { timeout: 120_000 }, async () => {
    const moment = fc.record({
      deno: fc.nat({ max: 3 }),
      started: fc.integer({ min: 0, max: 3 }),
      printed: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(moment, async ({ deno, started, printed }) => {
        const mark = randomUUID();
        const command = start(["run", "-n", "3", "--deno", `${deno}`, program("end.mjs"), "nobody", "0"], {
          MARK: mark,
        });
        // The launcher itself has the mark too.
        await vi.waitFor(() => expect(marked(mark).length).toBeGreaterThan(started), { timeout: 20_000, interval: 1 });
        if (printed) await command.printed(/pid \d+/);
        command.process.kill("SIGKILL");
        expect((await command.ended.catch(() => null))?.signal ?? "SIGKILL").toBe("SIGKILL");
        await vi.waitFor(() => expect(marked(mark)).toEqual([]), { timeout: 10_000, interval: 20 });
      }),
      { numRuns: 12 },
    );
  });

  it("takes the count as other programs do, and refuses one that is likely mistyped", async () => {
    for (const flags of [
      ["-n2"],
      ["-np", "2"],
      ["--np=2"],
      ["--nproc-per-node", "2"],
      ["--nproc_per_node=2"],
      ["--ranks=2"],
    ]) {
      const { code, stdout } = await webccl(["run", ...flags, program("environment.mjs"), "-n7"]);
      expect(code).toBe(0);
      const ranks = lines(stdout).map((line) => JSON.parse(line.slice(4)));
      expect(ranks.map(({ env, args }) => [env.WORLD_SIZE, ...args])).toEqual([
        ["2", "-n7"],
        ["2", "-n7"],
      ]);
    }
    const { code, stderr } = await webccl(["run", "-n", "20000", program("environment.mjs")]);
    expect(lines(stderr)[0]).toMatch(
      /^webccl: -n 20000 is more than 16 processes for each of \d+ cores.*--oversubscribe$/,
    );
    expect(code).toBe(2);
  });

  it("tells a failure in one line for each rank, with the place in the program and the remedy", {
    timeout: 60_000,
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "webccl-run-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "package.json"), "{}");
    const own = `import { StoreError } from "${new URL("../../dist/node/index.js", import.meta.url)}"; throw new StoreError("gone");`;
    const ownLine = /^\[\d\] StoreError: gone \([jk]\.mjs:1:\d+\) \[STORE: docs\/errors\.md#store\]$/;
    const cases = [
      ["j.mjs", [], own, ownLine],
      ["k.mjs", ["--threads"], own, ownLine],
      ["a.mjs", [], "throw new RangeError('wrong')", /^\[\d\] RangeError: wrong \(a\.mjs:1:7\)$/],
      ["b.mjs", ["--threads"], "throw new RangeError('wrong')", /^\[\d\] RangeError: wrong \(b\.mjs:1:7\)$/],
      ["c.mjs", ["--deno", "2"], "throw new RangeError('wrong')", /^\[\d\] RangeError: wrong \(c\.mjs:1:7\)$/],
      [
        "d.mjs",
        [],
        "throw new Error('outer', { cause: new TypeError('inner') })",
        /outer .*, caused by TypeError: inner$/,
      ],
      [
        "e.mjs",
        [],
        "throw new Error('wraps inner', { cause: new Error('inner') })",
        /^\[\d\] Error: wraps inner \(e\.mjs:1:7\)$/,
      ],
      ["f.mjs", [], "throw 'a text'", /^\[\d\] thrown: a text$/],
      ["i.mjs", [], "throw Object.create(null)", /^\[\d\] thrown: a value of type object$/],
      ["g.cjs", [], "import fs from 'node:fs';", /read as CommonJS: name it \.mjs or \.mts, or put "type": "module"/],
      [
        "l.mjs",
        [],
        "const group = { broadcast() {} }; group.broadcastCoalesced([]);",
        /broadcastCoalesced is not a function \(l\.mjs:1:\d+\); it is broadcastCoalesced\(group, tensors\) of webccl\/ddp, or group\.broadcastAll\(tensors\)$/,
      ],
      [
        "m.mjs",
        ["--threads"],
        "const group = {}; group.all_reduce([]);",
        /all_reduce is not a function .*; names of webccl have no underscore: docs\/from-torch\.md has/,
      ],
      ["n.py", [], "print(1)", /Unknown file extension "\.py".*; webccl runs JavaScript .* and TypeScript/],
      ["h.mjs", [], "require('node:fs');", /read as a module: use import, or name it \.cjs$/],
    ] as const;
    for (const [file, flags, text, line] of cases) {
      writeFileSync(join(folder, file), text);
      const { code, stderr } = await webccl(["run", "-n", "2", ...flags, file], {}, folder);
      const told = lines(stderr).filter((each) => /^\[\d\] \w*(Error|thrown)/.test(each));
      expect(code, stderr).toBe(1);
      expect(told.map((each) => each.slice(0, 3)).sort(), stderr).toEqual(["[0]", "[1]"]);
      for (const each of told) expect(each).toMatch(line);
      expect(stderr).not.toMatch(/ at |Node\.js v/);
      expect(lines(stderr).at(-1)).toMatch(/^webccl run: rank \d exited with code 1; the others: \d code 1$/);
    }
    const { stderr } = await webccl(["run", "-n", "2", "--verbose", "a.mjs"], {}, folder);
    expect(stderr).toMatch(/\[0\] {5}at .*a\.mjs:1:7/);
  });

  it("tells the place of an error of syntax, in whichever file it is", async () => {
    const folder = mkdtempSync(join(tmpdir(), "webccl-run-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "broken.mjs"), "export const a = 1;\nexport const b = (;");
    writeFileSync(join(folder, "uses.mjs"), "import './broken.mjs';");
    writeFileSync(join(folder, "later.mjs"), "await import('./broken.mjs');");
    for (const file of ["broken.mjs", "uses.mjs", "later.mjs"]) {
      const { code, stderr } = await webccl(["run", "-n", "1", file], {}, folder);
      expect(stderr).toMatch(/broken\.mjs:2$/m);
      expect(stderr).toMatch(/SyntaxError: Unexpected token ';'/);
      expect(code).toBe(1);
    }
  });

  it("ends with its ranks, although a process that one of them started holds their output", async () => {
    const folder = mkdtempSync(join(tmpdir(), "webccl-run-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const text =
      "import { spawn } from 'node:child_process'; const child = spawn('sleep', ['600'], { stdio: 'inherit', detached: true });" +
      "child.unref(); console.log(child.pid);";
    writeFileSync(join(folder, "starts.mjs"), text);
    const { code, stdout } = await webccl(["run", "-n", "2", "starts.mjs"], {}, folder);
    const started = lines(stdout).map((line) => Number(line.replace(/^\[\d\] /, "")));
    for (const pid of started) process.kill(pid);
    expect(code).toBe(0);
    expect(started.length).toBe(2);
  });

  it("leaves an error alone to which the program listens itself", async () => {
    const folder = mkdtempSync(join(tmpdir(), "webccl-run-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const text =
      "process.on('uncaughtException', () => { console.log('heard'); process.exit(5); }); throw new Error('x');";
    writeFileSync(join(folder, "listens.mjs"), text);
    const { code, stdout, stderr } = await webccl(["run", "-n", "1", "listens.mjs"], {}, folder);
    expect({ code, stdout, stderr }).toEqual({
      code: 5,
      stdout: "heard\n",
      stderr: "webccl run: rank 0 exited with code 5\n",
    });
  });

  it("needs no tsx where only Deno runs TypeScript", async () => {
    const folder = mkdtempSync(join(tmpdir(), "webccl-run-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "typed.ts"), "const rank: string = process.env.RANK!; console.log('typed', rank);");
    const installed = join(folder, "node_modules", "webccl");
    cpSync(join(process.cwd(), "dist"), join(installed, "dist"), { recursive: true });
    cpSync(join(process.cwd(), "package.json"), join(installed, "package.json"));
    for (const name of ["cac", "ws", "deno", "@deno"]) {
      symlinkSync(realpathSync(join("node_modules", name)), join(folder, "node_modules", name));
    }
    const run = (deno: number) =>
      spawnSync(
        process.execPath,
        [join(installed, "dist/cli/main.js"), "run", "-n", "1", "--deno", `${deno}`, "typed.ts"],
        {
          cwd: folder,
          encoding: "utf8",
        },
      );
    expect(run(1)).toMatchObject({ status: 0, stdout: "typed 0\n" });
    const inNode = run(0);
    if ((process.features as { typescript?: unknown }).typescript) expect(inNode.status).toBe(0);
    else expect(inNode.stderr).toContain("install tsx beside it (npm install --save-dev tsx)");
  });

  it.each([
    [["run", "-n", "2"], "run needs a script: webccl run -n 4 script.ts"],
    [["run", "script.mjs"], "-n is missing; flags go before the script: webccl run -n 4 script.ts"],
    [["run", "-n", "0", "script.mjs"], "-n must be a whole number of at least 1, got 0"],
    [["run", "-n", "-1", "script.mjs"], "-n must be a whole number of at least 1, got -1"],
    [["run", "-n4a", "script.mjs"], "-n must be a whole number of at least 1, got 4a"],
    [["run", "-n", "2", "--threads=2", "script.mjs"], "--threads takes no value, got 2"],
    [["run", "-n", "2", "--no-kill=1", "script.mjs"], "--no-kill takes no value, got 1"],
    [
      ["run", "-n", "2", "--log-dir", "script.mjs"],
      "run needs a script; script.mjs is the value of --log-dir: webccl run -n 4 script.ts",
    ],
    [["run", "-n", "2", "src"], "src is a folder: name the program in it"],
    [
      ["run", "-n", "2", "--hub", "http://a:1", "script.mjs"],
      "--hub must be a hub's address, such as ws://10.0.0.1:29500/my-group or wss://…, got http://a:1",
    ],
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
    ["-n4 a.ts -n5", "-n 4 a.ts", "-n5"],
    ["-np 4 --enable_recovery a.ts -np 5", "-n 4 --no-kill a.ts", "-np 5"],
    ["--nproc_per_node 4 a.ts --nproc_per_node 5", "--ranks 4 a.ts", "--nproc_per_node 5"],
  ])("cuts %j", (argv, own, rest) => {
    const words = (text: string) => text.split(" ").filter((word) => word !== "");
    expect(splitRunArguments(words(argv), flags)).toEqual([words(own), words(rest)]);
  });
});

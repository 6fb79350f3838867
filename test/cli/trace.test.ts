import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../helpers/temporary-folder.ts";
import { dumpsOf, TRACE_CASES } from "../trace/cases.ts";
import { program, start, webccl } from "./command.ts";

async function dumpFiles(name: string): Promise<{ folder: string; files: string[] }> {
  const folder = temporaryFolder();
  const dumps = await dumpsOf(TRACE_CASES.find((one) => one.name === name)!);
  const files = dumps.map(({ rank }) => join(folder, `${rank}.json`));
  for (const [index, dump] of dumps.entries()) writeFileSync(files[index]!, JSON.stringify(dump));
  return { folder, files };
}

describe("webccl trace", () => {
  it("says in one sentence what is wrong, and ends with 1", async () => {
    const { folder, files } = await dumpFiles("missing rank");
    const sentence = /^rank 2 never entered allReduce #12 \(.*\); ranks 0, 1, 3 wait there since \d+ ms\n$/;
    expect(await webccl(["trace", ...files])).toMatchObject({ code: 1, stdout: expect.stringMatching(sentence) });
    const { stdout, code } = await webccl(["trace", folder, "--json"]);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ kind: "missing-rank", culprits: [2], waiting: [0, 1, 3], ranks: [0, 1, 2, 3], missing: [] },
    });
    const partly = await webccl(["trace", files[0]!, files[1]!, files[3]!]);
    expect(partly.stdout).toMatch(/^rank 2 left no dump, and is missing in allReduce #12; ranks 0, 1, 3 wait/);
  });

  it("writes what Perfetto and PyTorch's analyser read, and ends with 0 where all is well", async () => {
    const { folder, files } = await dumpFiles("healthy");
    const [chrome, torch] = [join(folder, "chrome.trace"), join(folder, "torch")];
    const { code, stdout } = await webccl(["trace", ...files, "--chrome", chrome, "--torch", torch]);
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^healthy: all \d+ calls of ranks/),
    });
    expect(readdirSync(torch).sort()).toEqual(["rank_0", "rank_1", "rank_2"]);
    for (const name of readdirSync(torch)) expect([...readFileSync(join(torch, name))].slice(0, 2)).toEqual([0x80, 2]);
    const { traceEvents } = JSON.parse(readFileSync(chrome, "utf8"));
    const calls = traceEvents.filter(({ ph }: { ph: string }) => ph === "X");
    expect(new Set(calls.map(({ pid }: { pid: number }) => pid))).toEqual(new Set([0, 1, 2]));
    expect(calls).toHaveLength(77);
    for (const { ts, dur, name } of calls) {
      expect(ts).toBeGreaterThanOrEqual(0);
      expect(dur).toBeGreaterThanOrEqual(0);
      expect(name).toMatch(/^\w+ #\d+/);
    }
  });

  it("writes over no dump, mixes no two jobs, and says where it cannot write", async () => {
    const { folder, files } = await dumpFiles("healthy");
    const before = readFileSync(files[0]!, "utf8");
    const torch = join(folder, "torch");
    const run = (...flags: string[]) => webccl(["trace", ...files, ...flags]);
    expect((await run("--torch", torch)).code).toBe(0);
    const wrong = [
      [["--chrome", files[0]!], "is one of the dumps"],
      [["--chrome", join(folder, "torch", "..", "1.json")], "is one of the dumps"],
      [["--chrome", folder], "cannot be written"],
      [["--chrome", join(folder, "no", "c.json")], "cannot be written"],
      [["--torch", files[1]!], "cannot be written"],
      [["--torch", torch], "rank_0 is there already"],
    ] as const;
    for (const [flags, says] of wrong) {
      const { code, stderr, stdout } = await run(...flags);
      expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain(says);
      expect(stderr).not.toContain("    at ");
    }
    expect(readFileSync(files[0]!, "utf8")).toBe(before);
  });

  it("prints nothing that a terminal takes for a command", async () => {
    const { files } = await dumpFiles("healthy");
    const dump = JSON.parse(readFileSync(files[0]!, "utf8"));
    dump.groups[0].dead = { code: "ABORTED", message: "\u001b]0;owned\u0007\u009b2J\nrank 9 is at fault", ranks: [] };
    writeFileSync(files[0]!, JSON.stringify(dump));
    const { stdout } = await webccl(["trace", ...files]);
    expect(stdout).toMatch(/^group "default" is dead: \P{Cc}+rank 9 is at fault\n$/u);
  });

  it("reads the folder in which ranks left their dumps when their group died", async () => {
    const folder = temporaryFolder();
    const traces = join(folder, "new", "traces");
    const run = await webccl(["run", "-n", "3", program("late.mjs")], { WEBCCL_TRACE_DIR: traces });
    expect(run.code, run.stderr).toBe(0);
    expect(readdirSync(traces).filter((name) => name.endsWith(".json"))).toEqual(
      [0, 1, 2].map((rank) => `default-rank${rank}.json`),
    );
    expect(statSync(join(traces, "default-rank0.json")).mode & 0o777).toBe(0o600);
    const { code, stdout } = await webccl(["trace", traces]);
    expect(stdout).toMatch(
      /^rank 2 never entered allReduce #2.*; ranks 0, 1 wait(ed there for| there since) \d+\.\d s\n$/,
    );
    expect(code).toBe(1);
    expect(readdirSync(process.cwd()).filter((name) => name.includes("rank0"))).toEqual([]);
  });

  it("names --live where running ranks have sockets but no dumps, and says why a folder may have none", async () => {
    const folder = temporaryFolder();
    const empty = await webccl(["trace", folder]);
    expect(empty).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/no dump .*WEBCCL_TRACE_DIR.*MismatchError/),
    });
    const job = start(["run", "-n", "2", program("met.mjs")], { WEBCCL_TRACE_DIR: folder });
    await job.printed(/met[\s\S]*met/);
    const { code, stderr } = await webccl(["trace", folder]);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining(`trace --live ${folder}`) });
    job.process.kill("SIGTERM");
    await job.ended;
  });

  it("warns of dumps that are older than the process of another rank, in the first epoch alone", async () => {
    const { files } = await dumpFiles("missing rank");
    const dump = JSON.parse(readFileSync(files[3]!, "utf8"));
    const write = (change: object) => writeFileSync(files[3]!, JSON.stringify({ ...dump, ...change }));
    const aged = async () => /ranks? .* (is|are) older/.exec((await webccl(["trace", ...files])).stderr)?.[0];
    expect(await aged()).toBeUndefined();
    write({ clockZero: dump.clockZero + 3_600_000 });
    expect(await aged()).toMatch(/^ranks 0 \(\d{4}-.*Z\), 1 \(.*Z\), 2 \(.*Z\) are older$/);
    write({ clockZero: dump.clockZero - 3_600_000 });
    expect(await aged()).toMatch(/^rank 3 \(\d{4}-.*Z\) is older$/);
    write({
      clockZero: dump.clockZero - 3_600_000,
      groups: dump.groups.map((group: object) => ({ ...group, epoch: 1 })),
    });
    expect(await aged()).toBeUndefined();
  });

  it("leaves nothing where nobody asks, and no socket where all end well", async () => {
    const folder = temporaryFolder();
    await webccl(["run", "-n", "3", program("late.mjs")], {}, folder);
    expect(readdirSync(folder)).toEqual([]);
    const traces = join(folder, "traces");
    await webccl(["run", "-n", "2", program("sum.ts")], { WEBCCL_TRACE_DIR: traces });
    expect(readdirSync(traces)).toEqual([]);
  });

  it("refuses what is no dump, and flags that do not go together", async () => {
    const { folder, files } = await dumpFiles("mismatch of counts");
    const other = join(folder, "other");
    const bad = async (args: string[], says: RegExp) => {
      const { code, stderr } = await webccl(["trace", ...args]);
      expect({ code, stderr }, args.join(" ")).toMatchObject({ code: 2, stderr: expect.stringMatching(says) });
    };
    await bad([], /needs the files/);
    await bad([join(folder, "none.json")], /no such file/);
    writeFileSync(other, "{");
    await bad([other], /is no JSON/);
    writeFileSync(other, "[]");
    await bad([other], /no trace of webccl/);
    const dump = JSON.parse(readFileSync(files[0]!, "utf8"));
    writeFileSync(other, JSON.stringify({ ...dump, version: 2 }));
    await bad([other], /version 2/);
    writeFileSync(other, JSON.stringify({ ...dump, entries: [{ ...dump.entries[0], sequence: "one" }] }));
    await bad([other], /entries\[0\]: sequence is missing or wrong/);
    writeFileSync(other, JSON.stringify({ ...dump, entries: [{ ...dump.entries[0], group: 7 }] }));
    await bad([other], /no group/);
    await bad([files[0]!, files[0]!], /two dumps are of rank 0/);
    await bad(["--live", folder, files[0]!], /reads no files/);
    await bad(["--live", join(folder, "none")], /pass the folder/);
    await bad(["--live", folder, "--json"], /has no --json/);
    await bad([files[0]!, "--port", "1"], /goes with --live/);
    await bad([files[0]!, "--crome", "x"], /did you mean --chrome/);
  });

  it("serves the live page to this machine's browsers alone", async () => {
    const command = start(["trace", "--live", temporaryFolder()]);
    const [url = ""] = await command.printed(/http:\/\/127\.0\.0\.1:\d+\//);
    const page = await fetch(url);
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(await page.text()).toContain("<title>webccl trace</title>");
    expect(await (await fetch(`${url}state.json`)).json()).toMatchObject({ sentence: null, ranks: [] });
    for (const path of ["nothing", "..%2fmain.js", "assets/../index.html", "%00"]) {
      const { status } = await fetch(`${url}${path}`);
      expect([200, 404], path).toContain(status);
    }
    command.process.kill("SIGTERM");
    expect(await command.ended).toMatchObject({ code: 0 });
  });
});

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { webccl } from "./command.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const { scripts }: { scripts: Record<string, string> } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));

/** The programs that `npm run` starts with tsx, and those of bench/ that have options. */
const PROGRAMS = [
  ...Object.entries(scripts).flatMap(([name, line]) => {
    const [, words] = /^tsx (.*)$/.exec(line) ?? [];
    return words === undefined ? [] : [[`npm run ${name}`, words] as const];
  }),
  ...["tfjs-averaging", "tabs", "tcp-store", "gpu-overlap"].map(
    (name) => [`bench/${name}.ts`, `bench/${name}.ts`] as const,
  ),
];
/** Other programs of npm, which have a usage of their own, and lines that run several. */
const OTHERS = ["build:native", "lint", "deadcode", "publint", "attw", "typecheck", "bench"];

async function run(words: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ["--import", "tsx", ...words], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const [code] = await once(child, "close");
  return { code, stdout, stderr };
}

describe("programs of this repository", () => {
  it("are all tried here", () => {
    const tried = PROGRAMS.map(([name]) => name.replace("npm run ", ""));
    expect([...tried, ...OTHERS]).toEqual(expect.arrayContaining(Object.keys(scripts)));
  });

  it.each(PROGRAMS)("say how they are used: %s --help", async (name, words) => {
    const { code, stdout, stderr } = await run([...words.split(" "), "--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^n/);
    expect(stdout, name).not.toContain("    at ");
  });

  it("read their words in one place, where a wrong one is one sentence", async () => {
    const files = ["scripts", "bench"].flatMap((folder) =>
      readdirSync(`${root}${folder}`, { recursive: true, encoding: "utf8" }).map((file) => `${folder}/${file}`),
    );
    const readers = files.filter(
      (file) => file.endsWith(".ts") && readFileSync(root + file, "utf8").includes("parseArgs"),
    );
    expect(readers).toEqual(["scripts/command-line.ts"]);
    for (const program of ["scripts/build-options.ts", "bench/chaos/run.ts", "scripts/simulate.ts"]) {
      const { code, stdout, stderr } = await run([program, "--no-such-option"]);
      expect({ code, stdout }, program).toEqual({ code: 2, stdout: "" });
      expect(stderr.trimEnd().split("\n"), program).toHaveLength(1);
      expect(stderr).toMatch(/unknown option '?--no-such-option/i);
    }
  });

  it("name the option or the value that was meant", async () => {
    expect((await run(["scripts/fuzz.ts", "--sed", "1"])).stderr).toContain("did you mean --seed?");
    expect((await run(["scripts/nightly.ts", "fuz"])).stderr).toContain("there is no fuz; did you mean fuzz?");
    expect((await run(["bench/tune.ts", "--ranks", "two"])).stderr).toContain('--ranks is "two": a whole number');
    expect((await run(["bench/peers/run.ts", "--min", "64X"])).stderr).toContain('"64X" is not a size');
  });
});

describe("webccl", () => {
  it.each(["run", "bench", "hub", "demo", "trace", "info"])("says how %s is used", async (command) => {
    const { code, stdout, stderr } = await webccl([command, "--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`webccl ${command}`);
  });
});

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { choiceFlag, didYouMean, integerFlag, sizeFlag, textFlag, UsageError } from "../../src/cli/usage.ts";
import { webccl } from "./command.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

describe("webccl", () => {
  it("prints its commands and its version", async () => {
    const help = await webccl(["--help"]);
    expect(help.code).toBe(0);
    for (const command of ["run", "bench", "hub", "info"]) expect(help.stdout).toContain(`\n  ${command} `);
    expect(await webccl(["help"])).toEqual(help);
    const run = await webccl(["run", "--help"]);
    expect(await webccl(["help", "run"])).toEqual(run);
    expect(run.stdout).toMatch(/^ {2}--no-kill +Let the others go on when a rank ends badly/m);
    expect(run.stdout).not.toContain("default: true");
    const printed = await webccl(["--version"]);
    expect(printed).toMatchObject({ code: 0, stderr: "" });
    expect(printed.stdout).toContain(`webccl/${version}`);
    expect(await webccl(["version"])).toEqual(printed);
  });

  it("prints its commands and fails when no command is given", async () => {
    expect((await webccl([])).code).toBe(2);
  });

  it.each([
    [["brench"], "unknown command brench; did you mean bench?"],
    [["--jason"], "unknown flag --jason"],
    [["bench", "all_redux"], "; did you mean all_reduce?"],
    [["bench", "all_reduce", "--jsno"], "unknown flag --jsno for bench; did you mean --json?"],
    [["bench", "all_reduce", "-d", "f33"], "; did you mean f32?"],
    [["bench", "all_reduce", "-o", "band"], "reduce op band is for integers, and the tensor is f32"],
    [["bench", "all_reduce", "-b", "4X"], "-b must be a size such as 64, 4K, 64M or 1G, got 4X"],
    [["bench", "all_reduce", "-b", "4K", "-e", "1K"], "-e (1024 bytes) is less than -b (4096 bytes)"],
    [["bench", "all_reduce", "-n", "2", "-n", "3"], "-n was given 2 times"],
    [["bench"], "bench needs a collective: webccl bench all_reduce -n 4"],
    [["info", "extra"], "info takes nothing beside its flags, got extra as well"],
    [["hub", "29500"], "hub takes nothing beside its flags, got 29500 as well"],
    [["bench", "barrier", "broadcast"], "bench takes one collective beside its flags, got broadcast as well"],
    [["bench", "all_reduce", "--threads=4"], "--threads takes no value, got 4"],
    [["bench", "all_reduce", "-n", "-1"], "-n must be a whole number of at least 1, got -1"],
    [["bench", "all_reduce", "-n", "20000"], "-n 20000 is more than 16 processes for each of"],
    [["bench", "coalesced", "-n", "20000"], "-n 20000 is more than 16 processes for each of"],
    [["bench", "all_reduce", "--html", "/no/such/page.html"], "cannot be written: there is no folder /no/such"],
    [["bench", "kernels", "--html", "/no/such/page.html"], "cannot be written: there is no folder /no/such"],
    [["bench", "kernels", "--html", "/"], "--html / cannot be written: it is a folder"],
    [["hub", "--port", "99999"], "--port must be a whole number from 0 to 65535, got 99999"],
    [["hub", "--port="], "--port needs a value: --port <number>"],
    [["trace", "--live"], "--live needs a value: --live <where>"],
    [["bench", "all_reduce", "-n"], "-n needs a value: -n, --ranks <count>"],
    [["demo", "--port", "-1"], "--port must be a whole number from 0 to 65535, got -1"],
    [
      ["hub", "--origin", "localhost:5173"],
      '"localhost:5173" is no origin of pages: give one such as "https://example.org"',
    ],
    [["demo", "--allow-host", "https://a"], '"https://a" is no host name: give one such as "example.org"'],
    [["hub", "--metrics-port", "70000"], "--metrics-port must be a whole number from 0 to 65535, got 70000"],
    [["trace", "--live", "/tmp", "--port", "70000"], "--port must be a whole number from 0 to 65535, got 70000"],
    [["help", "rum"], "unknown command rum; did you mean run?"],
    [["hlep"], "unknown command hlep; did you mean help?"],
    [["--hepl"], "unknown flag --hepl; did you mean --help?"],
    [["hub", "--token", "secret"], "unknown flag --token for hub; did you mean --token-file?"],
  ])("refuses %j", async (args, message) => {
    const { code, stdout, stderr } = await webccl(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.split("\n")[0]).toContain(message);
    expect(stderr).not.toContain("secret");
  });
});

describe("sizeFlag()", () => {
  it.each([
    ["64", 64],
    [64, 64],
    ["4K", 4096],
    ["1.5m", 1_572_864],
    ["64M", 67_108_864],
    ["1G", 1_073_741_824],
    [undefined, undefined],
  ])("reads %j", (text, bytes) => {
    expect(sizeFlag("-b", text)).toBe(bytes);
  });

  it.each(["", "K", "-4", "1e6", "0.3", "4KB", true])("refuses %j", (text) => {
    expect(() => sizeFlag("-b", text)).toThrow(UsageError);
  });
});

describe("flags", () => {
  it("are refused when repeated, empty or out of range", () => {
    expect(() => textFlag("--hub", ["a", "b"])).toThrow("--hub was given 2 times");
    expect(() => textFlag("--hub", true)).toThrow("--hub needs a value");
    expect(() => integerFlag("-n", 1.5, 1)).toThrow("-n must be a whole number of at least 1, got 1.5");
    expect(() => choiceFlag("-d", "x", ["a", "b"])).toThrow("-d x: not one of a, b");
    expect(choiceFlag("-d", "b", ["a", "b"])).toBe("b");
  });
});

describe("didYouMean()", () => {
  it("names the nearest word, and none when all are far", () => {
    expect(didYouMean("--rnaks", ["-n", "--ranks", "--hub"])).toBe("; did you mean --ranks?");
    expect(didYouMean("--threads", ["-n", "--ranks", "--hub"])).toBe("");
  });
});

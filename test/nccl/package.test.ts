import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildPrebuilt } from "../../native-nccl/scripts/build.js";

const source = fileURLToPath(new URL("../../native-nccl", import.meta.url));
const installed = mkdtempSync(join(tmpdir(), "webccl-nccl-package-"));

/** What npm would install: the packed files, without what is built. */
beforeAll(() => {
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: source, encoding: "utf8" }));
  for (const { path } of packed.files) cpSync(join(source, path), join(installed, path));
});
afterAll(() => rmSync(installed, { recursive: true }));

/** Runs node in the installed package, with no compiler to be found. */
function node(...args: string[]) {
  const env = {
    PATH: "/nonexistent",
    CXX: "no-such-compiler",
    NODE_PATH: fileURLToPath(new URL("../../node_modules", import.meta.url)),
  };
  return spawnSync(process.execPath, args, { cwd: installed, env, encoding: "utf8" });
}

describe("the package @webccl/nccl on a machine without a compiler", { timeout: 60_000 }, () => {
  it("has nothing to run when it is installed, and what its build needs as dependencies", () => {
    const { scripts, dependencies } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
    const lifecycle = Object.keys(scripts).filter((name) => /install|prepare|prepack|postpack/.test(name));
    expect(lifecycle).toEqual([]);
    expect(Object.keys(dependencies)).toEqual(["node-addon-api", "node-api-headers"]);
  });

  it("can be imported, and says at its first use how to build it", () => {
    const program = `
      const nccl = await import(${JSON.stringify(pathToFileURL(join(installed, "index.js")).href)});
      await nccl.load().catch(({ message }) => console.log(message));`;
    const { stdout, stderr } = node("--input-type=module", "-e", program);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/the addon of @webccl\/nccl is not there .*prebuilt\/linux-x64.*run "npm run build:native"/);
  });

  it("says what is missing when it is built", () => {
    const { status, stderr } = node("scripts/build.js");
    expect(status).not.toBe(0);
    expect(stderr).toMatch(
      /no-such-compiler could not be started .*install a C\+\+17 compiler, such as g\+\+, or set CXX/,
    );
  });
});

describe("the binaries of the published package", { timeout: 180_000 }, () => {
  it("are for x64 and arm64, and that of this machine is opened without a compiler", () => {
    const files = buildPrebuilt(join(installed, "prebuilt"));
    // The field e_machine of ELF's header.
    const machines = files.map((file) => readFileSync(file).readUInt16LE(18));
    expect(machines).toEqual([62, 183]);
    const program = `
      const nccl = await import(${JSON.stringify(pathToFileURL(join(installed, "index.js")).href)});
      await nccl.load().catch(({ message }) => console.log(message));`;
    const { stdout, stderr } = node("--input-type=module", "-e", program);
    expect(stderr).toBe("");
    expect(stdout).not.toContain("the addon of @webccl/nccl is not there");
    expect(stdout).toMatch(/libnccl\.so\.2|libcuda\.so\.1/);
  });
});

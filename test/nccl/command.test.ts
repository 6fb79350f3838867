import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { webccl } from "../cli/command.ts";
import { standInEnvironment } from "./stand-in.ts";

/** A project in which @webccl/nccl is installed. */
const project = mkdtempSync(join(tmpdir(), "webccl-nccl-"));
mkdirSync(join(project, "node_modules", "@webccl"), { recursive: true });
symlinkSync(
  fileURLToPath(new URL("../../native-nccl", import.meta.url)),
  join(project, "node_modules", "@webccl", "nccl"),
);
afterAll(() => rmSync(project, { recursive: true }));

/** What the section on NCCL says, in one line. */
function libraryLine(info: string): string {
  const [, text = ""] = /\nNCCL\n {2}library +([\s\S]*?)(?:\n\n|\n*$)/.exec(info) ?? [];
  return text.replaceAll(/\n +/g, " ");
}

describe("webccl info", { timeout: 120_000 }, () => {
  it("says which NCCL, driver and devices there are", async () => {
    const env = { ...standInEnvironment(), WEBCCL_STANDIN_DEVICES: "2" };
    const { stdout } = await webccl(["info", "--json"], env, project);
    const device = (index: number) => ({
      name: `webccl stand-in ${index}`,
      computeCapability: "9.0",
      memoryBytes: 2 ** 32,
    });
    expect(JSON.parse(stdout).nccl).toEqual({
      version: "2.27.7",
      libnccl: expect.stringMatching(/stand-in\/libnccl\.so\.2$/),
      libcuda: expect.stringMatching(/stand-in\/libcuda\.so\.1$/),
      cuda: "12.4",
      devices: [device(0), device(1)],
      fix: null,
    });
    expect(libraryLine((await webccl(["info"], env, project)).stdout)).toMatch(
      /^2\.27\.7 from .*, CUDA 12\.4 from .*, 2 devices: webccl stand-in 0 \(9\.0, 4 GiB\)/,
    );
  });

  it.each([
    ["the package", () => ({}), tmpdir(), /@webccl\/nccl is not installed.*npm install/],
    [
      "the addon",
      () => ({ WEBCCL_NCCL_ADDON: "/nonexistent.node" }),
      project,
      /addon .* is not there .*npm run build:native/,
    ],
    [
      "NCCL",
      () => ({ ...standInEnvironment(), LD_LIBRARY_PATH: "" }),
      project,
      /libnccl\.so\.2 could not be opened.*Install NCCL/,
    ],
    [
      "a device",
      () => ({ ...standInEnvironment(), WEBCCL_STANDIN_DEVICES: "0" }),
      project,
      /no CUDA device.*nvidia-smi/,
    ],
  ])("says what to do where %s is missing", async (_, environment, cwd, fix) => {
    const { code, stdout } = await webccl(["info"], environment(), cwd);
    expect(code).toBe(0);
    expect(libraryLine(stdout)).toMatch(fix);
  });
});

describe("webccl bench --device nccl", { timeout: 120_000 }, () => {
  it.each(["all_reduce", "all_to_all", "sendrecv"])("measures %s on CUDA memory and names the device", async (name) => {
    const args = [
      "bench",
      name,
      "-n",
      "2",
      "--device",
      "nccl",
      "-b",
      "64",
      "-e",
      "4K",
      "-f",
      "64",
      "-w",
      "1",
      "-i",
      "3",
    ];
    const { code, stdout, stderr } = await webccl([...args, "--json"], standInEnvironment(), project);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ collective: name, device: "nccl 2.27.7, webccl stand-in 0" });
    expect(report.results.map(({ bytes, wrong }: never) => ({ bytes, wrong }))).toEqual([
      { bytes: 64, wrong: 0 },
      { bytes: 4096, wrong: 0 },
    ]);
  });

  it("ends with the sentence that helps where there is none", async () => {
    const { code, stderr } = await webccl(["bench", "all_reduce", "--device", "nccl"], {}, tmpdir());
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/@webccl\/nccl is not installed, and --device nccl measures it: npm install/);
  });
});

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { webccl } from "../cli/command.ts";
import { encodeOnnx } from "../helpers/onnx.ts";
import { MLP } from "./models.ts";

const FOLDER = new URL("../../examples/ort-tensor-parallel/", import.meta.url);

describe("examples/ort-tensor-parallel", () => {
  it("computes with 2 ranks and with 3 what one process does", { timeout: 120_000 }, async () => {
    for (const ranks of [2, 3]) {
      const main = fileURLToPath(new URL("main.ts", FOLDER));
      const { code, stdout, stderr } = await webccl(["run", "-n", String(ranks), main]);
      expect(code, stderr).toBe(0);
      expect(stdout).toMatch(/the ranks hold \d+( \+ \d+)+ of 328704 weights/);
      expect(stdout).toContain(`each run sums 4096 bytes over ${ranks} ranks`);
      const [, difference] = /20 runs differ from one process by (\S+) of/.exec(stdout) ?? [];
      expect(Number(difference)).toBeLessThan(1e-5);
    }
  });

  it("has the model that the tests write", async () => {
    expect(new Uint8Array(await readFile(new URL("mlp.onnx", FOLDER)))).toEqual(encodeOnnx(MLP));
  });
});

import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, it } from "vitest";
import { build, isBuilt } from "../../scripts/build.ts";
import { encodeSafetensors } from "../../src/ddp/index.ts";
import { start } from "../cli/command.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";

const PROGRAM = fileURLToPath(new URL("../../examples/weights.ts", import.meta.url));

beforeAll(async () => {
  if (!isBuilt()) await build();
}, 120_000);

it("examples/weights.ts brings a file's tensors from Node to tabs, to the last bit", { timeout: 120_000 }, async () => {
  const tensors = [3, 5, 1000, 1, 7].map((count, i) => {
    return [
      `t${i}`,
      { tensor: Float32Array.from({ length: count }, (_, k) => Math.fround(i + k / 3)), shape: [count] },
    ] as const;
  });
  const file = join(temporaryFolder(), "model.safetensors");
  writeFileSync(file, encodeSafetensors(new Map(tensors)));
  const words = ["run", "-n", "3", "--browsers", "2", PROGRAM, "--file", file, "--json"];
  const { code, stdout, stderr } = await start(words).ended;
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  const outcome = JSON.parse(/\{.*\}/.exec(stdout)?.[0] ?? "");
  const hash = createHash("sha256");
  for (const [, { tensor }] of tensors) hash.update(new Uint8Array(tensor.buffer));
  expect(outcome).toMatchObject({ ranks: ["node", "browser", "browser"], tensors: 5, right: true });
  expect(outcome.sha256).toBe(hash.digest("hex"));
});

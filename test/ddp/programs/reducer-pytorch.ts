/** Compares the Reducer with PyTorch's DistributedDataParallel live: `reducer-pytorch.ts [recordings]`, each of another seed. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pytorchPython } from "../../../scripts/pytorch.ts";
import { compareScenario, type Recording } from "../pytorch-steps.ts";

const recordings = Number(process.argv[2] ?? 3);
const oracle = fileURLToPath(new URL("../../oracles/ddp-reducer.py", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "webccl-reducer-"));
const output = join(folder, "recording.json");
try {
  for (let seed = 2; seed < 2 + recordings; seed++) {
    const { status, stderr } = spawnSync(pytorchPython(), [oracle, output, String(seed)], { encoding: "utf8" });
    if (status !== 0) throw new Error(`${oracle} failed:\n${stderr}`);
    const recording: Recording = JSON.parse(readFileSync(output, "utf8"));
    for (const scenario of Object.keys(recording.scenarios)) {
      console.log(
        `seed ${seed}, ${scenario}: ${await compareScenario(recording, scenario)} gradients are equal within N ulp`,
      );
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}

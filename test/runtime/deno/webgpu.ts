/**
 * The webgpu executor's cases on Deno's own WebGPU, whose llvmpipe has shader-f16: both f16 paths run here. Prints one line of
 * JSON; exits with 1 if any bit differs.
 */
import { createCpuExecutor } from "../../../src/executor/cpu/cpu-executor.ts";
import type { Executor } from "../../../src/executor/executor.ts";
import { createWebgpuExecutor } from "../../../src/executor/webgpu/create-executor.ts";
import { DATA_TYPES, type Float8 } from "../../../src/types.ts";
import { FLOAT8_TYPES, float8Cases, float8Difference } from "../../executor/float8-cases.ts";
import { randomSource } from "../../executor/random.ts";
import { gpuOps, placements, runFold } from "../../executor/webgpu-cases.ts";

const seed = Number(process.argv[2] ?? Math.floor(Math.random() * 2 ** 32));
const random = randomSource(seed);
const cpu = await createCpuExecutor();
await cpu.loadRareLoops();
const differences: string[] = [];
const executors: object[] = [];
let compared = 0;
for (const f16 of ["auto", "packed"] as const) {
  const gpu = await createWebgpuExecutor({ f16 });
  executors.push({ description: gpu.description, f16: gpu.f16, arithmeticId: gpu.arithmeticId });
  for (const dtype of f16 === "auto" ? DATA_TYPES : (["f16"] as const)) {
    for (const op of gpuOps(dtype)) {
      // At once: Deno looks for results of the GPU every 10 ms.
      const cases = [1, 5, 256, 1000].flatMap((count) =>
        placements(dtype, count).map((placed) => ({ ...placed, count })),
      );
      await Promise.all(
        cases.map(async ({ name, foldCase, sizes, count }) => {
          const outcome = await runFold(gpu, cpu, { ...foldCase, dtype, op, count }, sizes, random);
          compared += outcome.compared;
          if (outcome.difference)
            differences.push(`${f16} ${dtype} ${op.name} ${count} ${name}: ${outcome.difference}`);
        }),
      );
    }
  }
  if (f16 === "auto") for (const dtype of FLOAT8_TYPES) await compareFloat8(gpu, dtype);
  await gpu.dispose();
}

/** All pairs of an 8-bit float. */
async function compareFloat8(gpu: Executor, dtype: Float8): Promise<void> {
  await Promise.all(
    [...float8Cases(dtype)].map(async (foldCase) => {
      const expected = foldCase.expected();
      const difference = await float8Difference(gpu, dtype, foldCase, expected);
      compared += expected.length;
      if (difference) differences.push(difference);
    }),
  );
}

console.log(JSON.stringify({ seed, executors, cpu: cpu.arithmeticId, compared, differences }));
if (differences.length > 0) process.exitCode = 1;

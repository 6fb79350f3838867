import { afterAll, describe, expect, it } from "vitest";
import { createCpuExecutor } from "../../src/executor/cpu/cpu-executor.ts";
import { DATA_TYPES } from "../../src/types.ts";
import { testExecutor } from "../helpers/gpu.ts";
import { randomSource, SEED } from "./random.ts";
import { gpuOps, placements, runFold } from "./webgpu-cases.ts";

console.log(`webgpu.test.ts: WEBCCL_TEST_SEED=${SEED}`);
const gpu = await testExecutor();
const cpu = await createCpuExecutor();
await cpu.loadRareLoops();
const random = randomSource(SEED);
afterAll(() => gpu.dispose());

const COUNTS = [1, 2, 3, 4, 5, 255, 256, 257];

describe("reduceMany()", () => {
  for (const dtype of DATA_TYPES) {
    for (const op of gpuOps(dtype)) {
      it(`${op.name} of ${dtype} gives the cpu's bits wherever the operands lie`, async () => {
        let compared = 0;
        let leftOut = 0;
        const cases = COUNTS.flatMap((count) => placements(dtype, count).map((placed) => ({ ...placed, count })));
        await Promise.all(
          cases.map(async ({ name, foldCase, sizes, count }) => {
            const outcome = await runFold(gpu, cpu, { ...foldCase, dtype, op, count }, sizes, random);
            expect(outcome.difference, `${name}, ${count} elements, seed ${SEED}`).toBe("");
            compared += outcome.compared;
            leftOut += outcome.leftOut;
          }),
        );
        expect(leftOut).toBeLessThan(compared / 4);
      });
    }
  }
});

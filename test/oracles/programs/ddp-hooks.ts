/** 20 steps of PyTorch's DDP on 2, 3 and 4 ranks, made now: do the hooks give its results? */
import { ok } from "node:assert";
import { pytorchPython } from "../../../scripts/pytorch.ts";
import { initProcessGroup } from "../../../src/node/index.ts";
import { differencesOf, type RecordedHooks } from "../ddp-hooks.ts";
import { runPython, seedOfRun } from "../python.ts";

const seed = seedOfRun();
for (const worldSize of [2, 3, 4]) {
  const recorded = runPython(pytorchPython(), "ddp-hooks.py", worldSize, seed) as RecordedHooks;
  const initMethod = `memory://hooks-${worldSize}`;
  const groups = await Promise.all(
    Array.from({ length: worldSize }, (_, rank) => initProcessGroup({ initMethod, rank, worldSize })),
  );
  const { allReduce, fp16Compress } = await differencesOf(groups, recorded);
  console.log(
    `${worldSize} ranks: ALLREDUCE within ${allReduce} ulp of f32, FP16_COMPRESS within ${fp16Compress} of f16`,
  );
  ok(allReduce <= worldSize);
  ok(fp16Compress <= 1);
  await Promise.all(groups.map((group) => group.destroy()));
}

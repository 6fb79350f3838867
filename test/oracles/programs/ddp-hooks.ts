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
    Array.from({ length: worldSize }, (_, rank) =>
      initProcessGroup({ initMethod, rank, worldSize, deterministic: true }),
    ),
  );
  const { allReduce, fp16CompressBits, fp16CompressInRankOrder } = await differencesOf(groups, recorded);
  console.log(
    `${worldSize} ranks: ALLREDUCE within ${allReduce} ulp of f32, FP16_COMPRESS differs in ${fp16CompressBits} elements, in rank order within ${fp16CompressInRankOrder} ulp of f16`,
  );
  // Their 1/N is a division, ours a product; with a power of two both are exact.
  ok(allReduce <= (worldSize === 3 ? worldSize : 0));
  ok(fp16CompressBits === 0);
  ok(fp16CompressInRankOrder <= worldSize);
  await Promise.all(groups.map((group) => group.destroy()));
}

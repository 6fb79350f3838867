/** 20 steps of PyTorch's DistributedDataParallel in each of its modes, made now: does the Reducer give its averages? */
import { pytorchPython } from "../../../scripts/pytorch.ts";
import { compareScenario, type RecordedReducer } from "../ddp-reducer.ts";
import { runPython, seedOfRun } from "../python.ts";

const recorded = runPython(pytorchPython(), "ddp-reducer.py", seedOfRun()) as RecordedReducer;
for (const scenario of Object.keys(recorded.scenarios)) {
  console.log(`${scenario}: ${await compareScenario(recorded, scenario)} gradients are equal within N ulp`);
}

import { benchGpuFold, benchGpuKernels } from "../src/cli/bench-gpu-kernels.ts";
import { testExecutor } from "./support/gpu.ts";

const gpu = await testExecutor();
console.log(await benchGpuFold(gpu));
if (process.argv[2])
  for (const r of await benchGpuKernels(gpu, { bytes: Number(process.argv[2]) }))
    console.log(r.dtype, r.op, r.gpuGBs.toFixed(2), r.copyGBs.toFixed(1), r.share.toFixed(3));
await gpu.dispose();

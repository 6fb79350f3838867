/**
 * The rank of a page or of a worker: does what the job in the location's fragment says, and leaves the outcome in
 * `globalThis.outcome`, or posts it. It is bundled, so it must import nothing of Node's.
 */
import { initProcessGroup } from "../../../src/browser/index.ts";
import type { ProcessGroup } from "../../../src/process-group.ts";
import { conformanceCases } from "../../../src/testing/index.ts";
import { runCases } from "../../conformance/run-cases.ts";
import type { Job, Outcome } from "./job.ts";

async function perform(job: Job, group: ProcessGroup): Promise<object> {
  switch (job.task) {
    case "sum": {
      const tensor = group.alloc("f32", 100_000) as Float32Array;
      tensor.fill(group.rank + 1);
      await group.allReduce(tensor);
      return { first: tensor[0], last: tensor.at(-1), sharedTensor: !(tensor.buffer instanceof ArrayBuffer) };
    }
    case "conformance":
      return runCases(group, conformanceCases(job.cases));
  }
}

async function run(job: Job): Promise<Outcome> {
  try {
    const group = await initProcessGroup({ ...job.options });
    const { executor } = group.info();
    const result = await perform(job, group);
    await group.destroy();
    return {
      ...result,
      executor: executor.description,
      isolated: globalThis.crossOriginIsolated,
      shares: typeof SharedArrayBuffer !== "undefined",
    };
  } catch (error) {
    const { name, message } = error as Error;
    return { error: `${name}: ${message}` };
  }
}

const job: Job = JSON.parse(decodeURIComponent(location.hash.slice(1)));
if (typeof document === "undefined") postMessage(await run(job));
else if (job.inWorker) {
  const worker = new Worker(`${import.meta.url}${location.hash}`, { type: "module" });
  worker.onmessage = ({ data }) => Object.assign(globalThis, { outcome: data });
  worker.onerror = ({ message }) => Object.assign(globalThis, { outcome: { error: message ?? "no worker" } });
} else Object.assign(globalThis, { outcome: await run(job) });

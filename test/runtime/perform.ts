/** What a rank does for a test, in any runtime: it is bundled for pages, so it must import nothing of Node's. */
import type { InitOptions } from "../../src/bring-up/init-options.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { conformanceCases, digest, gpuMemory, hostMemory } from "../../src/testing/index.ts";
import { bytesPerElement, type HostArray } from "../../src/types.ts";
import { runCases } from "../conformance/run-cases.ts";
import { allocSums } from "../helpers/alloc-sums.ts";
import type { Job, Outcome, Task } from "./job.ts";

/** Joins a group, does the job, and leaves. Never rejects. */
export async function perform(
  job: Job,
  initProcessGroup: (options: InitOptions) => Promise<ProcessGroup>,
): Promise<Outcome> {
  try {
    const group = await initProcessGroup(job.options);
    const { executors, ranks } = group.info();
    const result = await doTask(job.task, group);
    await group.destroy();
    return {
      ...result,
      rank: group.rank,
      runtime: ranks[group.rank]!.runtime,
      links: ranks.map(({ link }) => link),
      executor: executors[0]!.description,
      gpu: executors[1]?.description ?? null,
      isolated: globalThis.crossOriginIsolated,
      shares: typeof SharedArrayBuffer !== "undefined",
    };
  } catch (error) {
    const { name, message } = error as Error;
    return { error: `${name}: ${message}` };
  }
}

async function doTask(task: Task, group: ProcessGroup): Promise<object> {
  switch (task.name) {
    case "sum": {
      const tensor = group.alloc("f32", 100_000);
      tensor.fill(group.rank + 1);
      await group.allReduce(tensor);
      const sums = await allocSums(group, 33);
      const half = group.alloc("f16", 1);
      const f16 = Object.prototype.toString.call("data" in half ? half.data : half).slice(8, -1);
      return {
        f16,
        first: tensor[0],
        last: tensor.at(-1),
        sharedTensor: !(tensor.buffer instanceof ArrayBuffer),
        sums,
      };
    }
    case "conformance": {
      const cases = conformanceCases({ size: group.size, ...task.cases });
      return runCases(group, cases, task.memory === "gpu" ? gpuMemory(group.device!) : hostMemory);
    }
    case "allReduce": {
      const { dtype, bytes, times, algorithm } = task;
      const data = group.alloc(dtype, bytes / bytesPerElement(dtype)) as HostArray;
      const timesMs: number[] = [];
      const timers = countTimers();
      for (let i = 0; i < times; i++) {
        for (let at = 0; at < data.length; at++) data[at] = ((at % 1000) + group.rank) / 7;
        await group.barrier();
        const start = performance.now();
        await group.allReduce(data, algorithm === undefined ? {} : { algorithm });
        timesMs.push(performance.now() - start);
        // For those who want to see from outside that it is under way.
        Object.assign(globalThis, { calls: i });
      }
      const visibility = globalThis.document?.visibilityState;
      return { timesMs, digest: await digest([data]), timersFired: timers.end(), visibility };
    }
  }
}

/** Counts the timers that fire until `end`, which tells how many did. Those of a hidden tab fire late. */
function countTimers(): { end(): number } {
  const own = globalThis.setTimeout;
  let fired = 0;
  const counting = (fire: () => void, delayMs?: number) =>
    own(() => {
      fired++;
      fire();
    }, delayMs);
  globalThis.setTimeout = counting as typeof own;
  const end = () => {
    globalThis.setTimeout = own;
    return fired;
  };
  return { end };
}

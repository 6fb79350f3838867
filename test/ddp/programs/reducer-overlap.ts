/**
 * How much of the communication a Reducer hides behind the backward pass: 8 buckets, 10 ms of backward for each, links over which a
 * frame takes 20 ms. Beside it, in one run and in alternation: the whole backward, then an allReduce of each bucket, awaited one by
 * one, as `for (const gradient of gradients) await group.allReduce(gradient)` does; and all at once, which is told but not judged.
 */
import { Reducer } from "../../../src/ddp/index.ts";
import type { ProcessGroup } from "../../../src/group/process-group.ts";
import { sleep } from "../../../src/support/clock.ts";
import { withMemoryGroups } from "../../conformance/harness.ts";

const BUCKETS = 8;
const BACKWARD_MS = 10;
const LATENCY_MS = 20;
const COUNT = 1024;
const ROUNDS = 7;
const LIMIT = 0.7;

type Step = () => Promise<unknown>;

function stepsOf(group: ProcessGroup): Record<"reducer" | "oneByOne" | "atOnce", Step> {
  const gradients = Array.from({ length: BUCKETS }, () => new Float32Array(COUNT));
  const parameters = gradients.map((tensor) => ({ tensor, shape: [COUNT] }));
  const reducer = new Reducer({ group, parameters, bucketBytes: 4 * COUNT, firstBucketBytes: 4 * COUNT });
  const backward = async (onGradient: (index: number) => void) => {
    for (let index = BUCKETS - 1; index >= 0; index--) {
      await sleep(BACKWARD_MS);
      onGradient(index);
    }
  };
  return {
    reducer: async () => {
      reducer.prepareForBackward();
      await backward((index) => reducer.markReady(index, gradients[index]));
      await reducer.finalize();
    },
    oneByOne: async () => {
      await backward(() => {});
      for (const gradient of gradients) await group.allReduce(gradient, { op: "avg" });
    },
    atOnce: async () => {
      await backward(() => {});
      await Promise.all(gradients.map((gradient) => group.allReduce(gradient, { op: "avg" })));
    },
  };
}

const median = (times: readonly number[]) => [...times].sort((a, b) => a - b)[times.length >> 1] ?? Number.NaN;

const [times] = await withMemoryGroups(
  2,
  async (group) => {
    const steps = Object.entries(stepsOf(group));
    const all = new Map(steps.map(([name]) => [name, [] as number[]]));
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, step] of steps) {
        await group.barrier();
        const before = performance.now();
        await step();
        all.get(name)?.push(performance.now() - before);
      }
    }
    return Object.fromEntries([...all].map(([name, list]) => [name, median(list)]));
  },
  { memory: { latencyMs: LATENCY_MS } } as object,
);
const { reducer = Number.NaN, oneByOne = Number.NaN, atOnce = Number.NaN } = times ?? {};
const ms = (time: number) => `${time.toFixed(1)} ms`;
console.log(
  `${BUCKETS} buckets, ${BACKWARD_MS} ms of backward each, ${LATENCY_MS} ms a frame, median of ${ROUNDS} steps:`,
);
console.log(`  Reducer                            ${ms(reducer)}`);
console.log(
  `  backward, then allReduce by turns  ${ms(oneByOne)}: the Reducer takes ${(reducer / oneByOne).toFixed(2)} of it`,
);
console.log(
  `  backward, then all at once         ${ms(atOnce)}: the Reducer takes ${(reducer / atOnce).toFixed(2)} of it`,
);
if (!(reducer / oneByOne <= LIMIT)) {
  console.error(`the Reducer takes more than ${LIMIT}`);
  process.exitCode = 1;
}

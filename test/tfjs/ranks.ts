/** Ranks of one process, which share tf.js's engine as they share all else. */
import type * as tf from "@tensorflow/tfjs";
import type { InitOptions } from "../../src/bring-up/init-options.ts";
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { initProcessGroup } from "../../src/node/index.ts";

let jobs = 0;

/** `tensor`, whose `data()` comes after so many turns of the event loop. */
export function slow<T extends tf.Tensor>(tensor: T, turns: number): T {
  const data = tensor.data.bind(tensor);
  tensor.data = async () => {
    for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
    return data();
  };
  return tensor;
}

/** What `program` resolves to on each of `size` ranks. */
export async function onRanks<T>(
  size: number,
  program: (group: ProcessGroup) => Promise<T>,
  options: InitOptions = {},
): Promise<T[]> {
  const ends = await endsOnRanks(size, program, options);
  return ends.map((end) => {
    if (end.status === "rejected") throw end.reason;
    return end.value;
  });
}

/** How `program` ends on each of `size` ranks. */
export async function endsOnRanks<T>(
  size: number,
  program: (group: ProcessGroup) => Promise<T>,
  options: InitOptions = {},
): Promise<PromiseSettledResult<T>[]> {
  const initMethod = `memory://tfjs-${jobs++}`;
  const groups = await Promise.all(
    Array.from({ length: size }, (_, rank) =>
      initProcessGroup({ initMethod, rank, worldSize: size, timeoutMs: 10_000, ...options }),
    ),
  );
  try {
    return await Promise.allSettled(groups.map(program));
  } finally {
    await Promise.allSettled(groups.map((group) => group.destroy()));
  }
}

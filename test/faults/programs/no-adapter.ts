/** What a runtime without a GPU does: backend "webgpu", then "auto". Prints one line of JSON. */
import type { Init } from "../../conformance/device-suite.ts";

export async function withoutAdapter(init: Init): Promise<void> {
  const place = { rank: 0, worldSize: 1 };
  const error = await init({ ...place, initMethod: "memory://wanted", backend: "webgpu" }).then(
    () => "none",
    (reason: Error) => `${reason.name}: ${reason.message}`,
  );
  const groups = await Promise.all(
    [0, 1].map((rank) => init({ rank, worldSize: 2, initMethod: "memory://auto", backend: "auto" })),
  );
  const tensors = groups.map(() => Float32Array.of(1));
  await Promise.all(groups.map((group, rank) => group.allReduce(tensors[rank]!)));
  const { executors, gpu } = groups[0]!.info();
  const names = executors.map(({ name }) => name).join();
  console.log(JSON.stringify({ error, executors: names, gpu, sum: String(tensors[0]![0]) }));
  await Promise.all(groups.map((group) => group.destroy()));
}

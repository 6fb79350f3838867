import { initProcessGroup } from "webccl";

async function main() {
  const initMethod = new URLSearchParams(location.search).get("hub");
  const group = await initProcessGroup({ initMethod, rank: 0, worldSize: 2 });
  const tensor = new Float32Array(1000).fill(1);
  await group.allReduce(tensor);
  document.title = `sum ${tensor[999]}`;
  await group.destroy();
}

main();

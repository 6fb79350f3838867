// Ranks of several hosts. On each host, with the address of rank 0's host and a token that all share:
//
//   RANK=0 WORLD_SIZE=2 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500 WEBCCL_TOKEN=… OWN_ADDRESS=10.0.0.1 node several-hosts.ts
//   RANK=1 WORLD_SIZE=2 MASTER_ADDR=10.0.0.1 MASTER_PORT=29500 WEBCCL_TOKEN=… OWN_ADDRESS=10.0.0.2 node several-hosts.ts
import { initProcessGroup } from "webccl";

// The ranks link directly; without `listen.host` the hub that rank 0 hosts relays. Elsewhere than on a trusted network: tls.
const group = await initProcessGroup({ listen: { host: process.env.OWN_ADDRESS!, insecure: true } });
const tensor = Float64Array.of(group.rank + 1);
await group.allReduce(tensor);
const links = group.info().ranks.map(({ link }) => link);
console.log(`rank ${group.rank} of ${group.size} has the sum ${tensor[0]}; its links: ${links.join(", ")}`);
await group.destroy();

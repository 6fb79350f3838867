/** One rank in Node: where to meet, its rank and its backend are its arguments. Prints one line of JSON. */
import { initProcessGroup } from "../../../src/node/index.ts";
import { runCustomOps } from "./custom-ops.ts";

const [initMethod, rank, worldSize, backend] = process.argv.slice(2) as [string, string, string, "cpu" | "webgpu"];
const place = { initMethod, rank: Number(rank), worldSize: Number(worldSize) };
const group = await initProcessGroup({ ...place, backend, timeoutMs: 20_000 });
console.log(JSON.stringify(await runCustomOps(group)));
await group.destroy();

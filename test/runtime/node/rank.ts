/**
 * One rank as a process of its own, with its place in the env:// variables. Runs conformance cases and prints one line
 * of JSON: how many ran, what was wrong, and the digests that must be equal on all ranks.
 */
import { initProcessGroup } from "../../../src/node/index.ts";
import { conformanceCases, gpuMemory } from "../../../src/testing/index.ts";
import { runCases } from "../../conformance/run-cases.ts";

const [transport, backend] = process.argv.slice(2) as ["websocket" | "hub", "cpu" | "webgpu"];
const group = await initProcessGroup({ transport, backend, timeoutMs: 25_000 });
const cases = conformanceCases({
  size: group.size,
  seed: 9,
  inputs: "normal",
  dtypes: ["f32", "i32", "u8"],
  ops: ["sum"],
  counts: [17, 20_000],
});
const report = await runCases(group, cases, group.device ? gpuMemory(group.device) : undefined);
await group.destroy();
console.log(JSON.stringify({ ...report, pid: process.pid }));

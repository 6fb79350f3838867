/**
 * One rank as a process of its own, with its place in the env:// variables. Runs conformance cases and prints one line
 * of JSON: how many ran, what was wrong, and the digests that must be equal on all ranks.
 */
import { initProcessGroup } from "../../../src/node/index.ts";
import { conformanceCases } from "../../../src/testing/index.ts";
import { runCases } from "../../conformance/run-cases.ts";

const transport = process.argv[2] as "websocket" | "hub";
const group = await initProcessGroup({ transport, backend: "cpu", timeoutMs: 25_000 });
const cases = conformanceCases({
  size: group.size,
  seed: 9,
  dtypes: ["f32", "i32", "u8"],
  ops: ["sum"],
  counts: [17, 20_000],
});
const report = await runCases(group, cases);
await group.destroy();
console.log(JSON.stringify({ ...report, pid: process.pid }));

/**
 * PyTorch's analyser of flight recorder dumps, `torchfrtrace`, on traces of webccl: does it say what is wrong? With the word
 * `record` the dumps and its answers are put into test/trace/torchfrtrace.json, from which `npm test` compares.
 */
import { ok } from "node:assert";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pytorchPython } from "../../../scripts/pytorch.ts";
import { mergeDumps, toTorchPickles } from "../../../src/trace/index.ts";
import { dumpsOf, TRACE_CASES } from "../../trace/cases.ts";
import { comparePickles } from "../pickles.ts";

const python = pytorchPython();
comparePickles(python, Date.now() % 2 ** 31);
console.log("300 drawn pickles: Python reads what was written");
const recorded: Record<string, unknown> = {};

for (const one of TRACE_CASES) {
  const folder = mkdtempSync(join(tmpdir(), "webccl-torchfrtrace-"));
  const dumps = await dumpsOf(one);
  const pickles = toTorchPickles(mergeDumps(dumps));
  for (const [rank, bytes] of pickles) writeFileSync(join(folder, `rank_${rank}`), bytes);
  const words = ["-m", "torch.distributed.flight_recorder.fr_trace", folder];
  const { status, stdout, stderr } = spawnSync(python, words, { encoding: "utf8" });
  rmSync(folder, { recursive: true });
  // It ends with 0 whatever it finds.
  const said = `${stdout}${stderr}`.replaceAll(folder, "FOLDER");
  ok(status === 0, `${one.name}: it ended with ${status}: ${said}`);
  ok(new RegExp(one.says).test(said), `${one.name}: it said ${said}`);
  ok(!one.never || !new RegExp(one.never).test(said), `${one.name}: it said ${said}`);
  console.log(`${one.name}: right`);
  const hashes = [...pickles.values()].map((bytes) => createHash("sha256").update(bytes).digest("hex"));
  recorded[one.name] = { dumps, hashes, said: said.split("\n").filter((line) => !/tabulate|warn/i.test(line)) };
}

if (process.argv.includes("record")) {
  const file = new URL("../../trace/torchfrtrace.json", import.meta.url);
  writeFileSync(file, `${JSON.stringify(recorded)}\n`);
}

/** Every version of Node that is supported, in one group with the others, and by itself as threads. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { root } from "../../../scripts/build.ts";
import { CASE_COLLECTIVES } from "../../../src/testing/index.ts";
import type { CasesReport } from "../../conformance/run-cases.ts";
import { bundled } from "../../helpers/bundled.ts";
import { freePort } from "../../helpers/free-port.ts";
import { NODES, nodeFolder } from "../../helpers/nodes.ts";
import { runProcess } from "../processes.ts";
import { itRunsEveryCollective } from "../runtime-cases.ts";

/** Those that have the class of an array of f16. */
const WITH_FLOAT16: readonly number[] = [24, 26];
const ALL = ["node-20", "node-22", "node-24", "node-26"] as const;
const TURNED = ["node-26", "node-24", "node-22", "node-20"] as const;

describe("ranks in Node 20, 22, 24 and 26", { timeout: 90_000 }, () => {
  itRunsEveryCollective([
    ["websocket", ...ALL],
    ["hub", ...TURNED],
    ["shared-file", ...ALL],
    ["mapped-memory", ...TURNED],
  ]);

  it("get a Float16Array for f16 where Node has that class, and the same sums", async () => {
    const initMethod = `tcp://127.0.0.1:${await freePort()}`;
    const outcomes = await Promise.all(
      ALL.map((runtime, rank) =>
        runProcess(runtime, { task: { name: "sum" }, options: { initMethod, rank, worldSize: 4, timeoutMs: 60_000 } }),
      ),
    );
    const names = NODES.map((version) => (WITH_FLOAT16.includes(version) ? "Float16Array" : "Uint16Array"));
    const { sums } = outcomes[0] as unknown as { sums: object };
    expect(outcomes).toMatchObject(names.map((f16) => ({ f16, sums, first: 10 })));
  });

  it.each(NODES)("run every collective as threads of Node %i", async (version) => {
    const program = await bundled(fileURLToPath(new URL("program.ts", import.meta.url)));
    const cases = { seed: 12, dtypes: ["f32", "f16"], ops: ["sum", "max"], counts: [17, 20_000] };
    const job = {
      task: { name: "conformance", cases, memory: "host" },
      options: { transport: "shared-memory", timeoutMs: 60_000, backend: "cpu" },
    };
    const words = [join(root, "dist/cli/main.js"), "run", "--threads", "-n", "3", program];
    const printed = execFileSync(join(nodeFolder(version), "node"), words, {
      env: { ...process.env, JOB: JSON.stringify(job) },
      encoding: "utf8",
    });
    const reports: CasesReport[] = [...printed.matchAll(/^\[\d\] (\{.*\})$/gm)].map(([, json]) => JSON.parse(json!));
    expect(reports).toHaveLength(3);
    for (const report of reports) expect(report).toMatchObject({ wrong: [], digests: reports[0]!.digests });
    expect(reports[0]!.ran).toBeGreaterThan(CASE_COLLECTIVES.length);
  });
});

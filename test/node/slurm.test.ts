/** Ranks that Slurm started: `env://` takes its variables where RANK is absent. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { variableOf } from "../../src/node/environment/slurm.ts";
import { freePort } from "../helpers/free-port.ts";

const SUM = fileURLToPath(new URL("../cli/programs/sum.ts", import.meta.url));

/** The environment without what a launcher of these tests may have left. */
function withoutRanks(): NodeJS.ProcessEnv {
  const isOfRanks = /^(RANK|WORLD_SIZE|LOCAL_RANK|MASTER_|SLURM_|WEBCCL_)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isOfRanks.test(name)));
}

describe("variables of Slurm", () => {
  it("lead the tasks of srun together", { timeout: 60_000 }, async () => {
    const port = await freePort();
    const told = ["0", "1", "2"].map(async (task) => {
      const slurm = { SLURM_PROCID: task, SLURM_LOCALID: task, SLURM_NTASKS: "3", SLURM_JOB_NODELIST: "localhost" };
      const child = spawn(process.execPath, ["--import", "tsx", SUM], {
        env: { ...withoutRanks(), ...slurm, MASTER_PORT: `${port}` },
        stdio: ["ignore", "pipe", "inherit"],
      });
      return String(await child.stdout.toArray().then((parts) => parts.join("")));
    });
    expect(await Promise.all(told)).toEqual(["sum 6\n", "sum 6\n", "sum 6\n"]);
  });

  it.each([
    ["node7", "node7"],
    ["node[03-05,9],login", "node03"],
    ["a,b[1-2]", "a"],
    ["rack[2-3]-gpu[011,012]", "rack2-gpu011"],
    ["gpu-[5].example.org,x", "gpu-5.example.org"],
  ])("name the first host of %s", (list, first) => {
    const environment = { SLURM_PROCID: "3", SLURM_JOB_NODELIST: list };
    expect(variableOf(environment, "MASTER_ADDR")).toBe(first);
  });

  it("are those of the step, and count for nothing beside RANK, or outside a task", () => {
    const job = { SLURM_NTASKS: "8", SLURM_JOB_NODELIST: "a,b" };
    const step = { SLURM_PROCID: "1", SLURM_STEP_NUM_TASKS: "2", SLURM_STEP_NODELIST: "b" };
    const read = (environment: NodeJS.ProcessEnv) =>
      ["RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"].map((name) => variableOf(environment, name));
    expect(read({ ...job, ...step })).toEqual(["1", "2", undefined, "b", undefined]);
    expect(read({ ...job, ...step, MASTER_ADDR: "c" })).toEqual(["1", "2", undefined, "c", undefined]);
    expect(read({ ...job, ...step, RANK: "0" })).toEqual(["0", undefined, undefined, undefined, undefined]);
    expect(read(job)).toEqual([undefined, undefined, undefined, undefined, undefined]);
  });
});

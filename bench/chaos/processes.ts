/** The processes of one injection: jobs, hubs and those that keep the cores busy. All end with it, however it ends. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type Job, type Report, startJob as startTestJob } from "../../test/faults/job.ts";
import { closeProxies } from "./unreliable-proxy.ts";

const jobs = new Set<Job>();
const hubs = new Set<ChildProcess>();

/** A program of bench/chaos/programs, as startJob takes it. */
export const program = (name: string): string => `../../../bench/chaos/programs/${name}`;

/** Starts `size` ranks that meet at env://, or where WEBCCL_INIT_METHOD says. */
export async function startJob(name: string, size: number, env: Record<string, string> = {}): Promise<Job> {
  const job = await startTestJob(name, size, env);
  jobs.add(job);
  return job;
}

/** Starts a hub in a process of its own. */
export async function startHub(): Promise<{ hub: ChildProcess; url: string }> {
  const path = fileURLToPath(new URL("../../test/faults/programs/hub.mjs", import.meta.url));
  const hub = fork(path, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  hubs.add(hub);
  const [url] = await once(hub, "message");
  return { hub, url: String(url) };
}

/** Ends what is left of an injection. */
export async function endProcesses(): Promise<void> {
  for (const job of jobs) job.kill();
  for (const hub of hubs) hub.kill("SIGKILL");
  closeProxies();
  for (const job of jobs) await job.ended;
  jobs.clear();
  hubs.clear();
}

/** Keeps `cores` cores at 100 %, until the function that it returns is called. */
export function keepBusy(cores: number): () => void {
  const busy = Array.from({ length: cores }, () => spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }));
  return () => {
    for (const child of busy) child.kill("SIGKILL");
  };
}

/** Resolves with the first report of each of these ranks that `matches`. */
export function reportedBy(
  job: Job,
  ranks: readonly number[],
  matches: (message: Report["message"]) => boolean,
): Promise<Report["message"][]> {
  return Promise.all(
    ranks.map(async (rank) => (await job.reported((r) => r.rank === rank && matches(r.message))).message),
  );
}

/** All numbers below `size` without these. */
export const others = (size: number, ...without: number[]): number[] =>
  Array.from({ length: size }, (_, rank) => rank).filter((rank) => !without.includes(rank));

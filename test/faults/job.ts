/**
 * Real processes of the built package, for tests of what happens when one of them dies or stalls. The programs are plain
 * JavaScript that imports "webccl" by its own name, so they run what `npm run build` made.
 */
import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { freePort } from "../helpers/free-port.ts";

/** What a rank passed to `process.send`, and when it came. */
export interface Report {
  rank: number;
  message: Record<string, unknown>;
}

/** Running ranks. */
export interface Job {
  readonly ranks: readonly ChildProcess[];
  readonly reports: readonly Report[];
  /** Resolves with the first report that `matches`; rejects if every rank ends without. */
  reported(matches: (report: Report) => boolean): Promise<Report>;
  /** Resolves when all ranks have ended. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }[]>;
  kill(): void;
}

/** Starts `program` as `size` ranks that meet at env://. */
export async function startJob(program: string, size: number, env: Record<string, string> = {}): Promise<Job> {
  const port = env.MASTER_PORT ?? String(await freePort());
  const path = fileURLToPath(new URL(`./programs/${program}`, import.meta.url));
  const reports: Report[] = [];
  const watchers = new Set<() => void>();
  const ranks = Array.from({ length: size }, (_, rank) => {
    const child = fork(path, {
      env: { ...process.env, ...env, MASTER_PORT: port, RANK: String(rank), WORLD_SIZE: String(size) },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    child.on("message", (message) => {
      reports.push({ rank, message: message as Report["message"] });
      for (const watch of watchers) watch();
    });
    return child;
  });
  const ended = Promise.all(
    ranks.map(
      (child) =>
        new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
          child.once("exit", (code, signal) => resolve({ code, signal }));
        }),
    ),
  );
  const reported: Job["reported"] = (matches) =>
    new Promise((resolve, reject) => {
      const watch = () => {
        const report = reports.find(matches);
        if (!report) return;
        watchers.delete(watch);
        resolve(report);
      };
      watchers.add(watch);
      watch();
      ended.then(() => reject(new Error(`every rank ended first; they reported ${JSON.stringify(reports)}`)));
    });
  const kill = () => {
    for (const child of ranks) child.kill("SIGKILL");
  };
  return { ranks, reports, reported, ended, kill };
}

/** Resident memory of a process, in bytes. */
export function residentBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4096;
}

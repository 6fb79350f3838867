/**
 * Real processes of the built package, for tests of what happens when one of them dies or stalls. The programs are plain
 * JavaScript that imports "webccl" by its own name, so they run what `npm run build` made.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { freePort } from "../helpers/free-port.ts";
import type { Host } from "../runtime/hosts/hosts.ts";

/** What a rank passed to `process.send`, and when it came. */
export interface Report {
  rank: number;
  message: Record<string, unknown>;
}

/** How a process ended. */
export interface End {
  code: number | null;
  signal: NodeJS.Signals | null;
}

const onThisHost: Host["command"] = (command, args) => [command, [...args]];

/** Running ranks. */
export class Job {
  readonly ranks: ChildProcess[] = [];
  readonly reports: Report[] = [];
  readonly #path: string;
  readonly #env: Record<string, string>;
  readonly #ends: Promise<End>[] = [];
  readonly #watchers = new Set<() => void>();

  /** `program` is a file of ./programs; `env` is for every rank. */
  constructor(program: string, env: Record<string, string>) {
    this.#path = fileURLToPath(new URL(`./programs/${program}`, import.meta.url));
    this.#env = env;
  }

  /** Starts one more process, whose reports have the number that this returns. `on` says how a command is started on another host. */
  start(env: Record<string, string>, on: Host["command"] = onThisHost): number {
    const child = spawn(...on(process.execPath, [this.#path]), {
      env: { ...process.env, ...this.#env, ...env },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const rank = this.ranks.push(child) - 1;
    child.on("message", (message) => {
      this.reports.push({ rank, message: message as Report["message"] });
      for (const watch of this.#watchers) watch();
    });
    this.#ends.push(new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal }))));
    return rank;
  }

  /** Resolves with the first report that `matches`; rejects if every rank ends without. */
  reported(matches: (report: Report) => boolean): Promise<Report> {
    return this.#when(() => this.reports.find(matches));
  }

  /** Resolves when a report makes `holds` true; rejects if every rank ends without. */
  async until(holds: () => boolean): Promise<void> {
    await this.#when(() => holds() || undefined);
  }

  #when<T>(look: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const watch = () => {
        const seen = look();
        if (seen === undefined) return;
        this.#watchers.delete(watch);
        resolve(seen);
      };
      this.#watchers.add(watch);
      watch();
      this.ended.then(() => {
        const last = JSON.stringify(this.reports.slice(-20));
        reject(new Error(`every rank ended first; the last that they reported is ${last}`));
      });
    });
  }

  /** Resolves when all ranks that were started have ended. */
  get ended(): Promise<End[]> {
    return Promise.all(this.#ends);
  }

  kill(): void {
    for (const child of this.ranks) child.kill("SIGKILL");
  }
}

/** Starts `program` as `size` ranks that meet at env://. */
export async function startJob(program: string, size: number, env: Record<string, string> = {}): Promise<Job> {
  const port = env.MASTER_PORT ?? String(await freePort());
  const job = new Job(program, { ...env, MASTER_PORT: port });
  for (let rank = 0; rank < size; rank++) job.start({ RANK: String(rank), WORLD_SIZE: String(size) });
  return job;
}

/** Resident memory of a process, in bytes. */
export function residentBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4096;
}

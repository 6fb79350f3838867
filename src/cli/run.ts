/** `webccl run`: a program as several ranks, on this host or on several. */
import type { Hosts } from "./launch/hosts.ts";
import { launch } from "./launch/launch.ts";
import { describeEnd, type LaunchResult, type RankEnd } from "./launch/supervisor.ts";

export interface RunOptions {
  ranks: number;
  bun?: number | undefined;
  deno?: number | undefined;
  browsers?: number | undefined;
  threads?: boolean | undefined;
  verbose?: boolean | undefined;
  hub?: string | undefined;
  maxRestarts?: number | undefined;
  hosts?: Hosts | null | undefined;
  logDir?: string | undefined;
  tee?: boolean | undefined;
  script: string;
  args: readonly string[];
}

/** Runs the program and returns the exit code; if it is not 0, the last line on stderr says why. */
export async function run(options: RunOptions): Promise<number> {
  const result = await launch(options);
  const reason = describeFailure(result);
  if (reason) process.stderr.write(`webccl run: ${reason}\n`);
  return result.exitCode;
}

/** How the first failed rank and the others ended; null if all went well. */
export function describeFailure({ failure, ends, stoppedBy }: LaunchResult): string | null {
  if (stoppedBy) return `stopped by ${stoppedBy}; ${ends.length} ranks ended`;
  if (!failure) return null;
  const others = ends.filter((end) => end !== failure).sort((a, b) => a.rank - b.rank);
  const tail = others.length === 0 ? "" : `; the others: ${others.map(shortEnd).join(", ")}`;
  return `${describeEnd(failure)}${tail}`;
}

const shortEnd = ({ name, code, signal }: RankEnd) => `${name} ${signal ?? `code ${code}`}`;

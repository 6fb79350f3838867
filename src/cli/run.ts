/** `webccl run`: a program as several ranks, on this host or on several. */
import type { Hosts } from "./launch/hosts.ts";
import { launch } from "./launch/launch.ts";
import { describeEnd, type LaunchResult, type RankEnd, SURVIVOR_GRACE_MS } from "./launch/supervisor.ts";

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
  const restarts = options.threads ? null : (options.maxRestarts ?? 0) + 1;
  const reason = describeFailure(result, restarts);
  if (reason) process.stderr.write(`webccl run: ${reason}\n`);
  return result.exitCode;
}

/**
 * How the first failed rank and the others ended, and which of them the launcher ended itself; null if all went well. With
 * `--max-restarts` of `restarts` these would have gone on; null if there is no such flag.
 */
export function describeFailure(
  { failure, ends, terminated, stoppedBy }: LaunchResult,
  restarts: number | null = null,
): string | null {
  if (stoppedBy) return `stopped by ${stoppedBy}; ${ends.length} ranks ended`;
  if (!failure) return null;
  const others = ends.filter((end) => end !== failure).sort((a, b) => a.rank - b.rank);
  const told = others.length === 0 ? "" : `; the others: ${others.map(shortEnd).join(", ")}`;
  const names = others.filter(({ rank }) => terminated.includes(rank)).map(({ name }) => name);
  if (names.length === 0) return `${describeEnd(failure)}${told}`;
  const by = `; webccl ended ${names.join(", ")} itself, ${SURVIVOR_GRACE_MS / 1000} s after that`;
  const remedy = `: --max-restarts ${restarts} starts rank ${failure.name} again, and lets the others go on`;
  return `${describeEnd(failure)}${told}${by}${restarts === null ? "" : remedy}`;
}

const shortEnd = ({ name, code, signal }: RankEnd) => `${name} ${signal ?? `code ${code}`}`;

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
  noKill?: boolean | undefined;
  hosts?: Hosts | null | undefined;
  logDir?: string | undefined;
  tee?: boolean | undefined;
  script: string;
  args: readonly string[];
}

/** Runs the program and returns the exit code; if it is not 0, the last line on stderr says why. */
export async function run(options: RunOptions): Promise<number> {
  const result = await launch(options);
  const reason = describeFailure(result, options);
  if (reason) process.stderr.write(`webccl run: ${reason}\n`);
  return result.exitCode;
}

/**
 * How the first failed rank and the others ended, and which of them the launcher ended itself; null if all went well. `flags` are
 * those of `webccl run`, of which the text names the ones with which these would have gone on; null elsewhere.
 */
export function describeFailure(
  { failure, ends, terminated, stoppedBy }: LaunchResult,
  flags: Pick<RunOptions, "threads" | "maxRestarts" | "noKill"> | null = null,
): string | null {
  if (stoppedBy) return `stopped by ${stoppedBy}; ${ends.length} ranks ended`;
  if (!failure) return null;
  const others = ends.filter((end) => end !== failure).sort((a, b) => a.rank - b.rank);
  const told = others.length === 0 ? "" : `; the others: ${others.map(shortEnd).join(", ")}`;
  const names = others.filter(({ rank }) => terminated.includes(rank)).map(({ name }) => name);
  if (flags?.noKill) return `${describeEnd(failure)}${told}; ${survivedBy(ends)}`;
  if (names.length === 0) return `${describeEnd(failure)}${told}`;
  const by = `; webccl ended ${names.join(", ")} itself, ${SURVIVOR_GRACE_MS / 1000} s after that`;
  return `${describeEnd(failure)}${told}${by}${flags ? remedies(failure, flags) : ""}`;
}

const shortEnd = ({ name, code, signal }: RankEnd) => `${name} ${signal ?? `code ${code}`}`;

/** What the exit code of a job means whose survivors went on. */
function survivedBy(ends: readonly RankEnd[]): string {
  const well = ends.filter(({ code }) => code === 0).length;
  return well > 0 ? `${well} of ${ends.length} ranks ended well, so the job did` : "no rank ended well";
}

/** The flags with which the ranks would have gone on. A thread cannot be started again. */
function remedies(
  { name }: RankEnd,
  { threads, maxRestarts = 0 }: Pick<RunOptions, "threads" | "maxRestarts">,
): string {
  const restart = threads ? "" : `; --max-restarts ${maxRestarts + 1} starts rank ${name} again, too`;
  return `: --no-kill lets them go on${restart}`;
}

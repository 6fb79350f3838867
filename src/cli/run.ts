/** `webccl run`: a program as several ranks on this host. */
import { describeEnd, type LaunchResult, launch, type RankEnd } from "./launch/launch.ts";
import { UsageError } from "./usage.ts";

export interface RunOptions {
  ranks: number;
  deno?: number | undefined;
  browsers?: number | undefined;
  threads?: boolean | undefined;
  hub?: string | undefined;
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

/** Which rank ended how, and what became of the others; null if all went well. */
export function describeFailure({ failure, ends, stoppedBy }: LaunchResult): string | null {
  if (stoppedBy) return `stopped by ${stoppedBy}; ${ends.length} ranks ended`;
  if (!failure) return null;
  const others = ends.filter((end) => end !== failure).sort((a, b) => a.rank - b.rank);
  const tail = others.length === 0 ? "" : `; the others: ${others.map(shortEnd).join(", ")}`;
  return `${describeEnd(failure)}${tail}`;
}

const shortEnd = ({ rank, code, signal }: RankEnd) => `${rank} ${signal ?? `code ${code}`}`;

/**
 * `argv` of `webccl run` cut behind the script: the flags before it are ours, everything after it is the script's.
 * `valueFlags` are our flags that take the next word.
 * @throws UsageError if there is no script.
 */
export function splitRunArguments(argv: readonly string[], valueFlags: ReadonlySet<string>): [string[], string[]] {
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === "--help" || word === "-h") return [[...argv.slice(0, i + 1)], []];
    if (word === "--") {
      if (argv[i + 1] === undefined) break;
      return [[...argv.slice(0, i), argv[i + 1]!], [...argv.slice(i + 2)]];
    }
    if (valueFlags.has(word)) i++;
    else if (!word.startsWith("-")) return [[...argv.slice(0, i + 1)], [...argv.slice(i + 1)]];
  }
  throw new UsageError("run needs a script: webccl run -n 4 script.ts");
}

/** `webccl run`: its flags, and where they end. */
import type { CAC, Command } from "cac";
import { type Flags, integerFlag, spellingsOf, textFlag, UsageError } from "../usage.ts";

/**
 * Adds the command to `cli`, and returns those of the words `argv` that are webccl's to parse: of `webccl run`, the words
 * behind the script are the script's.
 * @throws UsageError if it is `run` and there is no script.
 */
export function runCommand(cli: CAC, argv: readonly string[]): readonly string[] {
  const command = cli
    .command("run <script>", "Run a program as several ranks on this host; a rank's death ends the others")
    .usage(
      "run -n <ranks> [--threads | --deno <count> --browsers <count>] [--hub <url>] <script> [arguments of the script]",
    )
    .option("-n, --ranks <count>", "Number of ranks")
    .option("--threads", "Start threads of one process, which share memory, instead of processes")
    .option("--deno <count>", "How many of them run in Deno")
    .option("--browsers <count>", "How many of them run in a browser")
    .option("--hub <url>", "Meet at this hub instead of in rank 0");
  const [name, ...words] = argv;
  const [own, args] = name === "run" ? splitRunArguments(words, valueFlags(command)) : [words, []];
  command.action(async (script: string, flags: Flags) => {
    const { run } = await import("../run.ts");
    const ranks = integerFlag("-n", flags.n, 1);
    if (ranks === undefined)
      throw new UsageError("-n is missing; flags go before the script: webccl run -n 4 script.ts");
    return run({
      ranks,
      deno: integerFlag("--deno", flags.deno, 0),
      browsers: integerFlag("--browsers", flags.browsers, 0),
      threads: flags.threads === true,
      hub: textFlag("--hub", flags.hub),
      script,
      args,
    });
  });
  return name === undefined ? [] : [name, ...own];
}

/** Spellings of the flags of `command` that take the next word. */
function valueFlags(command: Command): ReadonlySet<string> {
  return new Set(spellingsOf(command.options.filter((option) => !option.isBoolean)));
}

/**
 * `argv` of `webccl run` cut behind the script: the flags before it are ours, everything after it is the script's.
 * `valueFlags` are our flags that take the next word.
 * @throws UsageError if there is no script.
 */
export function splitRunArguments(argv: readonly string[], valueFlags: ReadonlySet<string>): [string[], string[]] {
  let isValue = false;
  for (const [i, word] of argv.entries()) {
    if (isValue) {
      isValue = false;
      continue;
    }
    if (word === "--help" || word === "-h") return [argv.slice(0, i + 1), []];
    if (word === "--") {
      const script = argv[i + 1];
      if (script === undefined) break;
      return [[...argv.slice(0, i), script], argv.slice(i + 2)];
    }
    if (valueFlags.has(word)) isValue = true;
    else if (!word.startsWith("-")) return [argv.slice(0, i + 1), argv.slice(i + 1)];
  }
  throw new UsageError("run needs a script: webccl run -n 4 script.ts");
}

#!/usr/bin/env node
/** The `webccl` command. Each subcommand has its flags in commands/; its code is loaded when it is called. */
import { readFileSync } from "node:fs";
import { type CAC, type Command, cac } from "cac";
import { WebcclError } from "../errors.ts";
import { benchCommand } from "./commands/bench.ts";
import { infoCommand } from "./commands/info.ts";
import { runCommand } from "./commands/run.ts";
import { serveCommands } from "./commands/serve.ts";
import { traceCommand } from "./commands/trace.ts";
import { didYouMean, spellingsOf, UsageError } from "./usage.ts";

/** `webccl help run` is `webccl run --help`, and `webccl help` is `webccl --help`. */
function withHelp([first, ...rest]: readonly string[]): string[] {
  if (first === undefined) return [];
  return first === "help" ? [...rest, "--help"] : [first, ...rest];
}

/** Runs the command line `argv` (without node and script) and returns the exit code. */
async function main(argv: readonly string[]): Promise<number> {
  const cli = cac("webccl");
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  const words = runCommand(cli, withHelp(argv));
  benchCommand(cli);
  serveCommands(cli);
  traceCommand(cli);
  infoCommand(cli, version);
  cli.help();
  cli.version(version);

  const { options } = cli.parse(["node", "webccl", ...words], { run: false });
  if (options.help || (options.version && !cli.matchedCommand)) return 0;
  if (!cli.matchedCommand) {
    const [word] = words;
    if (word === undefined) {
      cli.outputHelp();
      return 2;
    }
    if (word.startsWith("-")) throw new UsageError(`unknown flag ${word}`);
    const names = cli.commands.map((command) => command.name);
    throw new UsageError(`unknown command ${word}${didYouMean(word, names)}`);
  }
  checkFlags(cli, cli.matchedCommand);
  return (await cli.runMatchedCommand()) as number;
}

/** @throws UsageError at the first flag that `command` does not have. */
function checkFlags(cli: CAC, command: Command): void {
  const known = [...command.options, ...cli.globalCommand.options];
  for (const name of Object.keys(cli.options)) {
    if (name === "--" || known.some((option) => option.names.includes(name))) continue;
    const dashed = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const flag = `${dashed.length > 1 ? "--" : "-"}${dashed}`;
    throw new UsageError(`unknown flag ${flag} for ${command.name}${didYouMean(flag, spellingsOf(known))}`);
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const failure = error as Error & { exitCode?: number };
  const isUsage = failure instanceof UsageError || failure.name === "CACError";
  process.stderr.write(
    `webccl: ${isUsage || failure.exitCode !== undefined || failure instanceof WebcclError ? failure.message : failure.stack}\n`,
  );
  if (isUsage) process.stderr.write("webccl --help lists commands, webccl <command> --help their flags\n");
  process.exitCode = isUsage ? 2 : (failure.exitCode ?? 1);
}

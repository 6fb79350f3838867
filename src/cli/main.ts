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

/** `webccl help run` is `webccl run --help`, `webccl help` is `webccl --help`, and `webccl version` is `webccl --version`. */
function withHelp([first, ...rest]: readonly string[]): string[] {
  if (first === undefined) return [];
  if (first === "version" && rest.length === 0) return ["--version"];
  return first === "help" ? [...rest, "--help"] : [first, ...rest];
}

/** A number below 0 is the value of the flag before it, which names it in its error, and no flag of its own. */
function withNumbers(words: readonly string[]): string[] {
  const joined: string[] = [];
  for (const word of words) {
    const before = joined.at(-1);
    if (/^-\d/.test(word) && before?.startsWith("-") && !before.includes("=")) joined[joined.length - 1] += `=${word}`;
    else joined.push(word);
  }
  return joined;
}

/** Runs the command line `argv` (without node and script) and returns the exit code. */
async function main(argv: readonly string[]): Promise<number> {
  const cli = cac("webccl");
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  const words = withNumbers(runCommand(cli, withHelp(argv)));
  benchCommand(cli);
  serveCommands(cli);
  traceCommand(cli);
  infoCommand(cli, version);
  // The parser says of `--no-kill` that its default is true: it means that of `--kill`.
  cli.help((sections) =>
    sections.map(({ body, ...section }) => ({ ...section, body: body.replaceAll(" (default: true)", "") })),
  );
  cli.version(version);

  const [word] = words;
  const names = cli.commands.map((command) => command.name);
  if (word !== undefined && !word.startsWith("-") && !names.includes(word)) {
    throw new UsageError(`unknown command ${word}${didYouMean(word, [...names, "help", "version"])}`);
  }
  const { options, args } = cli.parse(["node", "webccl", ...words], { run: false });
  if (options.help || (options.version && !cli.matchedCommand)) return 0;
  if (!cli.matchedCommand) {
    if (word !== undefined) throw new UsageError(`unknown flag ${word}${didYouMean(word, ["--help", "--version"])}`);
    cli.outputHelp();
    return 2;
  }
  checkSwitches(cli.matchedCommand, words);
  checkFlags(cli, cli.matchedCommand);
  checkArguments(cli.matchedCommand, args);
  return (await cli.runMatchedCommand()) as number;
}

/** @throws UsageError if a flag that takes none has a value, which would be taken for an argument. */
function checkSwitches(command: Command, words: readonly string[]): void {
  const switches = spellingsOf(command.options.filter((option) => option.isBoolean));
  for (const word of words) {
    const [, flag, value] = /^(--?[a-z][a-z-]*)=(.*)$/.exec(word) ?? [];
    if (flag !== undefined && switches.includes(flag)) throw new UsageError(`${flag} takes no value, got ${value}`);
  }
}

/** A command line that has what each command needs beside its flags. */
const EXAMPLES: Readonly<Record<string, string>> = {
  run: "webccl run -n 4 script.ts",
  bench: "webccl bench all_reduce -n 4",
};

/** @throws UsageError if an argument of `command` is missing, or if there is one more than it takes. */
function checkArguments({ name, args }: Command, given: readonly string[]): void {
  const missing = args[given.length];
  if (missing?.required) throw new UsageError(`${name} needs a ${missing.value}: ${EXAMPLES[name] ?? name}`);
  const extra = given[args.length];
  if (extra === undefined || args.at(-1)?.variadic) return;
  const takes = args.length === 0 ? "nothing" : `one ${args.map(({ value }) => value).join(" and one ")}`;
  throw new UsageError(`${name} takes ${takes} beside its flags, got ${extra} as well`);
}

/** @throws UsageError at the first flag that `command` does not have, or that has no value and needs one. */
function checkFlags(cli: CAC, command: Command): void {
  const known = [...command.options, ...cli.globalCommand.options];
  for (const [name, value] of Object.entries(cli.options)) {
    if (name === "--") continue;
    const dashed = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const flag = `${dashed.length > 1 ? "--" : "-"}${dashed}`;
    const option = known.find(({ names }) => names.includes(name));
    if (option?.required && value === true) throw new UsageError(`${flag} needs a value: ${option.rawName}`);
    if (option) continue;
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

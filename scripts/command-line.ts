/**
 * The command lines of this repository's programs: `--help` prints a usage, and a wrong word is one sentence and exit code 2, before
 * anything is built or started.
 */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { didYouMean } from "../src/cli/usage.ts";

type Options = NonNullable<ParseArgsConfig["options"]>;

/** What a program is told, by the names of its options; `positionals` are the words that belong to none. */
type Told<O extends Options> = ReturnType<
  typeof parseArgs<{ options: O; allowPositionals: true; args: string[]; strict: true }>
>;

/** A program's command line is wrong. */
class WrongWord extends Error {}

/** @throws WrongWord, which `toldBy` prints, if `text` is no whole number of at least `least`. */
export function wholeOption(name: string, text: string, least: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= least) return number;
  throw new WrongWord(`${name} is "${text}": a whole number of at least ${least} is needed`);
}

/** @throws WrongWord, which `toldBy` prints, if one of `words` is none of `choices`. */
export function choicesOption<T extends string>(name: string, words: readonly string[], choices: readonly T[]): T[] {
  return words.map((word) => {
    const choice = choices.find((one) => one === word);
    if (choice !== undefined) return choice;
    throw new WrongWord(`${name}: there is no ${word}${didYouMean(word, choices)}; there are ${choices.join(", ")}`);
  });
}

/**
 * Reads the command line of a program, whose `usage` begins with the line that starts it. `read` makes of it what the program
 * works with, and throws where a value is impossible. Prints and ends the process after `--help` and for a wrong word.
 */
export function toldBy<O extends Options, T>(usage: string, options: O, read: (told: Told<O>) => T): T {
  const args = process.argv.slice(2);
  if (args.includes("--help") || args.includes("-h")) {
    console.log(usage);
    process.exit(0);
  }
  try {
    return read(parseArgs({ args, options, strict: true, allowPositionals: true }));
  } catch (error) {
    if (!(error instanceof WrongWord || error instanceof RangeError || isOfParser(error))) throw error;
    const [start = ""] = usage.split(/ \[|: |\n/);
    const asked = /^npm .*[^-]$/.test(start) ? `${start} --` : start;
    console.error(`${sentence(error.message, Object.keys(options))}; "${asked} --help" says more`);
    process.exit(2);
  }
}

/** For a program that takes no words at all. */
export function takesNoWords(usage: string): void {
  toldBy(usage, {}, ({ positionals: [word] }) => {
    if (word !== undefined) throw new WrongWord(`"${word}" is not wanted: this program takes no words`);
  });
}

function isOfParser(error: unknown): error is Error {
  return error instanceof TypeError && String((error as { code?: unknown }).code).startsWith("ERR_PARSE_ARGS");
}

/** The first sentence of the parser's, and the option that was meant. */
function sentence(message: string, names: readonly string[]): string {
  const [, unknown] = /^Unknown option '(-[^']+)'/.exec(message) ?? [];
  if (unknown === undefined) return message.split(/\. |\n/)[0] ?? message;
  return `unknown option ${unknown}${didYouMean(
    unknown,
    names.map((name) => `--${name}`),
  )}`;
}

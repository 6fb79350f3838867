/** The circumstances of a report that is made now. */
import { readFileSync } from "node:fs";
import { machineText } from "../machine.ts";
import type { Circumstances } from "./report-page.ts";

/** `command` is the command line by which somebody makes the report anew. */
export function circumstances(command: string): Circumstances {
  const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8"));
  return {
    machine: machineText(),
    runtime: `${process.versions.bun ? "bun" : "node"} ${process.versions.bun ?? process.versions.node}`,
    version,
    date: `${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`,
    command,
  };
}

/** A command line as a shell takes it. */
export function commandLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}

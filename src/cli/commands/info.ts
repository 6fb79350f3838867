/** `webccl info`: its flag. */
import type { CAC } from "cac";
import type { Flags } from "../usage.ts";

/** Adds the command to `cli`; `version` is webccl's. */
export function infoCommand(cli: CAC, version: string): void {
  cli
    .command("info", "What is here, and what is missing with the fix")
    .option("--json", "Print one JSON object")
    .action(async (flags: Flags) => (await import("../info/info.ts")).info({ version, json: flags.json === true }));
}

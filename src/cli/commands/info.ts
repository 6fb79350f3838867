/** `webccl info`: its flags. */
import type { CAC } from "cac";
import { type Flags, textFlag } from "../usage.ts";

/** Adds the command to `cli`; `version` is webccl's. */
export function infoCommand(cli: CAC, version: string): void {
  cli
    .command("info", "What is here, and what is missing with the fix")
    .option(
      "--browsers [names]",
      "What the installed browsers have: all, or of chromium,firefox,webkit; link: an address to open by hand",
    )
    .option("--json", "Print one JSON object")
    .action(async (flags: Flags) => {
      const json = flags.json === true;
      if (flags.browsers === undefined) return (await import("../info/info.ts")).info({ version, json });
      const names = flags.browsers === true ? null : (textFlag("--browsers", flags.browsers)?.split(",") ?? null);
      return (await import("../info/browsers.ts")).browsersInfo(names, { json });
    });
}

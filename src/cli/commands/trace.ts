/** `webccl trace`: its flags. */
import type { CAC } from "cac";
import { type Flags, portFlag, textFlag, UsageError } from "../usage.ts";

/** Adds the command to `cli`. */
export function traceCommand(cli: CAC): void {
  cli
    .command("trace [...dumps]", "What is wrong, in one sentence: from the dumps of a job's ranks, or live")
    .option("--chrome <file>", "Write the calls of all ranks for Perfetto and chrome://tracing")
    .option("--torch <folder>", "Write the dumps as PyTorch's torchfrtrace reads them")
    .option(
      "--live <where>",
      "Serve a page on running ranks: the folder of WEBCCL_TRACE_DIR, or worker servers (repeatable)",
    )
    .option("--port <number>", "--live: the page's port, a free one if absent")
    .option("--json", "Print one JSON object")
    .action(runTrace);
}

async function runTrace(dumps: readonly string[], flags: Flags): Promise<number> {
  const chrome = textFlag("--chrome", flags.chrome);
  const torch = textFlag("--torch", flags.torch);
  if (flags.live === undefined) {
    if (flags.port !== undefined) throw new UsageError("--port goes with --live");
    if (dumps.length === 0)
      throw new UsageError("trace needs the files of group.dumpTrace(), a folder of them, or --live");
    const { traceFiles } = await import("../trace/trace-files.ts");
    return traceFiles(dumps, { chrome, torch, json: flags.json === true });
  }
  const useless = ["chrome", "torch", "json"].find((flag) => flags[flag] !== undefined);
  if (useless) throw new UsageError(`--live has no --${useless}`);
  if (dumps.length > 0) throw new UsageError(`--live reads no files: ${dumps.join(", ")}`);
  const places = (Array.isArray(flags.live) ? flags.live : [flags.live]).map(
    (place) => textFlag("--live", place) ?? "",
  );
  const { traceLive } = await import("../trace/trace-live.ts");
  return traceLive(places, portFlag("--port", flags.port) ?? 0);
}

/**
 * Ranks as processes on the addon and the stand-ins of libnccl and libcuda (native-nccl/test/stand-in). What is older than
 * its source is built first.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { build } from "../../native-nccl/scripts/build.js";
import { bundled } from "../helpers/bundled.ts";
import { freePort } from "../helpers/free-port.ts";

const program = (name: string) => fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url));
const ADDON_PACKAGE = fileURLToPath(new URL("../../native-nccl/index.js", import.meta.url));

/** How the ranks of a test are started. */
export interface RanksOptions {
  /** Variables of every rank, and of single ones. */
  env?: Record<string, string>;
  envOf?: Readonly<Record<number, Record<string, string>>>;
  /** The program in programs/. Default: "rank". */
  program?: "rank" | "lists";
  /** Runs addon and stand-ins as built for AddressSanitizer, which ends a process that touches what is not its own. */
  sanitize?: boolean;
  /** Called for each rank's process. */
  onStart?: (rank: number, child: ChildProcess) => void;
}

const RELAYED = { LD_LIBRARY_PATH: "", TRANSPORT: "hub" };
/** Of four ranks 0 and 1 are on NCCL, and 2 and 3 are reached through the hub alone; with `BACKEND: "auto"`. */
export const HALF_ON_NCCL: RanksOptions["envOf"] & object = { 2: RELAYED, 3: RELAYED };

/** What a rank printed as its last line, as JSON; null if it was killed. */
export type RankReport = Record<string, unknown> | null;

/** Environment of a process that is to find the stand-ins. */
export function standInEnvironment({ sanitize = false } = {}): Record<string, string> {
  const { addon, standIn } = build({ standIn: true, sanitize });
  return { LD_LIBRARY_PATH: standIn, WEBCCL_NCCL_ADDON: addon, ...(sanitize && sanitizer()) };
}

/** AddressSanitizer has to be the first library of a process that was not built with it. */
function sanitizer(): Record<string, string> {
  const library = execFileSync(process.env.CXX ?? "c++", ["-print-file-name=libasan.so"], { encoding: "utf8" }).trim();
  // LeakSanitizer cannot read V8's memory (its tracer gets a signal 11): leaks are counted at the libraries' boundary.
  return { LD_PRELOAD: library, ASAN_OPTIONS: "detect_leaks=0:abort_on_error=1" };
}

/** Runs `task` of a program on `size` ranks, and resolves with what each reported. */
export async function runRanks(task: string, size: number, options: RanksOptions = {}): Promise<RankReport[]> {
  const { env = {}, envOf = {}, sanitize = false, onStart, program: name = "rank" } = options;
  const common = { ...process.env, ...standInEnvironment({ sanitize }), MASTER_PORT: `${await freePort()}`, ...env };
  const file = await bundled(program(name), [ADDON_PACKAGE]);
  const children: ChildProcess[] = [];
  const reports = Array.from({ length: size }, (_, rank) => {
    const place = { RANK: `${rank}`, WORLD_SIZE: `${size}`, ...envOf[rank] };
    const child = spawn(process.execPath, ["--expose-gc", file, task], {
      env: { ...common, ...place },
      stdio: ["ignore", "pipe", "pipe"],
    });
    children.push(child);
    onStart?.(rank, child);
    let stdout = "";
    let stderr = "";
    child.stdout?.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr?.on("data", (chunk) => {
      stderr += chunk;
    });
    return new Promise<RankReport>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        if (code === 0) resolve(JSON.parse(stdout.trim().split("\n").at(-1) as string));
        else if (signal === "SIGKILL") resolve(null);
        else reject(new Error(`rank ${rank} of ${size} ended with ${code ?? signal}: ${stderr}${stdout}`));
      });
    });
  });
  try {
    return await Promise.all(reports);
  } finally {
    for (const child of children) child.kill("SIGKILL");
  }
}

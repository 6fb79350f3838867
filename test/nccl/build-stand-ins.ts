/** Before the tests: builds the addon and the stand-ins, plain and for AddressSanitizer, once and not once in each file. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const BUILD = fileURLToPath(new URL("../../native-nccl/scripts/build.js", import.meta.url));

export async function setup(): Promise<void> {
  const run = (...flags: string[]) => promisify(execFile)(process.execPath, [BUILD, "--stand-in", ...flags]);
  await Promise.all([run(), run("--sanitize")]);
}

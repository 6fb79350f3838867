/**
 * The folder of WEBCCL_TRACE_DIR: each rank's dump when a group of it dies, and, while it runs, a worker server at a socket
 * there, by which `webccl trace --live` looks on.
 */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TraceDump } from "../../group/trace/dump.ts";
import type { TracedJob } from "../../platform.ts";
import { textOf } from "../../support/thrown.ts";
import { WorkerServer } from "./worker-server.ts";

/** Leaves the traces of a job there, until the function that it resolves to is called. What cannot be written is one warning. */
export async function traceInto(folder: string, job: TracedJob): Promise<() => Promise<void>> {
  const { name, rank, logger } = job;
  const file = join(folder, `${encodeURIComponent(name)}-rank${rank}`);
  const warn = (error: unknown) => logger.warn(`WEBCCL_TRACE_DIR: ${textOf(error)}`);
  job.onDeath(() => {
    try {
      const text = JSON.stringify(job.dump({}));
      // Whoever watches the folder never sees half a dump. A link that lies there in its place is not followed.
      const part = `${file}.part`;
      rmSync(part, { force: true });
      writeFileSync(part, text, { mode: 0o600, flag: "wx" });
      renameSync(part, `${file}.json`);
      logger.info(`the flight recorder is in ${file}.json`);
    } catch (error) {
      warn(error);
    }
  });
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const group = { dumpTrace: async (options: object = {}) => job.dump(options) as TraceDump };
    const server = new WorkerServer(`${file}.sock`, -1, { group });
    await server.ready;
    return () => server.shutdown();
  } catch (error) {
    warn(error);
    return async () => {};
  }
}

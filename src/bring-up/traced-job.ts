/** A job that leaves traces in the folder of WEBCCL_TRACE_DIR. Loaded where that is set. */
import type { Membership } from "../group/job.ts";
import { dumpOf } from "../group/trace/dump.ts";
import type { Platform } from "../platform.ts";
import type { RankJob } from "./job.ts";

/** Begins, and resolves to the function that ends it; `group` is that of all ranks. */
export async function traceJob(
  platform: Platform,
  folder: string,
  { recorder, settings }: RankJob,
  { name, rank }: Membership,
): Promise<(() => Promise<void>) | undefined> {
  return platform.traceInto?.(folder, {
    ...{ name, rank, logger: settings.logger },
    dump: (options) => dumpOf(recorder, options),
    onDeath: (listener) => {
      recorder.onDeath = listener;
    },
  });
}

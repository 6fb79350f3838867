/**
 * A hub alone in its process, for attacks whose memory is measured. Its options are JSON in the first word. It answers each
 * message: "begin" with its memory, "end" with the most that it has had since, both in bytes; "stats" with its counts.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { startHub } from "../../../src/node/hub.ts";

const hub = await startHub({ port: 0, ...JSON.parse(process.argv[2] ?? "{}") });
process.on("message", (question) => {
  if (question === "stats") process.send?.(hub.stats);
  else if (question === "begin") {
    globalThis.gc?.();
    // The kernel begins anew to watch for the most.
    writeFileSync("/proc/self/clear_refs", "5");
    process.send?.(process.memoryUsage().rss);
  } else process.send?.(mostMemory());
});
process.on("disconnect", () => process.exit(0));
process.send?.(hub.url);

function mostMemory(): number {
  const [, kibibytes] = /VmHWM:\s*(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return Number(kibibytes) * 1024;
}

/**
 * Preloaded into every rank that is a process, unless `--verbose` asks for all of it: an error that ends the rank is
 * printed as one line. A program that listens to such errors itself is left alone.
 */
import { writeSync } from "node:fs";
import { failureLine, tellsWhere } from "./failure-line.ts";

process.on("uncaughtException", onFailure);

function onFailure(error: unknown): void {
  if (process.listenerCount("uncaughtException") > 1) return;
  if (error instanceof SyntaxError && !tellsWhere(error)) {
    // Only Node knows the place, and tells it when it prints the error.
    process.off("uncaughtException", onFailure);
    queueMicrotask(() => {
      throw error;
    });
    return;
  }
  writeSync(2, `${failureLine(error)}\n`);
  process.exit(1);
}

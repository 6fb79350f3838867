/**
 * Preloaded into every rank that is a process, unless `--verbose` asks for all of it: an error that ends the rank is
 * printed as one line. A program that listens to such errors itself is left alone.
 */
import { writeSync } from "node:fs";
import { failureLine } from "./failure-line.ts";

process.on("uncaughtException", (error) => {
  if (process.listenerCount("uncaughtException") > 1) return;
  writeSync(2, `${failureLine(error)}\n`);
  process.exit(1);
});

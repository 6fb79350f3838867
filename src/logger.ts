/** The logger a group has when it is given none: WEBCCL_DEBUG says how much of it reaches the console's error stream. */
import type { Logger } from "./options.ts";

const LEVELS = ["OFF", "WARN", "INFO", "DETAIL"] as const;

/**
 * A logger for WEBCCL_DEBUG = `level`: OFF nothing, WARN (default) errors and warnings, INFO also what was chosen at
 * bring-up, DETAIL everything.
 * @throws RangeError for another level.
 */
export function consoleLogger(level = "WARN"): Logger {
  const shown = LEVELS.indexOf(level.toUpperCase() as (typeof LEVELS)[number]);
  if (shown < 0) throw new RangeError(`WEBCCL_DEBUG is "${level}": use one of ${LEVELS.join(", ")}`);
  const print =
    (needed: number, word: string) =>
    (message: string, ...details: unknown[]) => {
      if (shown >= needed) console.error(`webccl ${word}: ${message}`, ...details);
    };
  return { error: print(1, "error"), warn: print(1, "warning"), info: print(2, "info"), debug: print(3, "debug") };
}

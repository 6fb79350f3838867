/** Diagnostics: the debug level, the logger that a group has when it is given none, and the rank in each of its lines. */
import type { Logger } from "./options.ts";

/** How much is told: nothing, errors and warnings, also the choices of bring-up, or everything. */
export type DebugLevel = "OFF" | "WARN" | "INFO" | "DETAIL";

const LEVELS: readonly DebugLevel[] = ["OFF", "WARN", "INFO", "DETAIL"];

/** The level that `setDebugLevel` set, which holds for the whole program. */
let levelSet: DebugLevel | null = null;

/**
 * Sets the debug level of this program, whatever WEBCCL_DEBUG says; null: WEBCCL_DEBUG's again. Loggers of groups that are up
 * obey at once.
 * @throws RangeError for another level.
 */
export function setDebugLevel(level: DebugLevel | null): void {
  levelSet = level === null ? null : levelOf(level, "setDebugLevel: level");
}

/**
 * The debug level: the one that was set, else WEBCCL_DEBUG of this environment, else WARN.
 * @throws RangeError if WEBCCL_DEBUG is not a debug level.
 */
export function debugLevelIn(env: (name: string) => string | undefined): DebugLevel {
  return levelSetOr(levelOfEnvironment(env));
}

/** The level of WEBCCL_DEBUG, else WARN. */
export function levelOfEnvironment(env: (name: string) => string | undefined): DebugLevel {
  return levelOf(env("WEBCCL_DEBUG") ?? "WARN", "WEBCCL_DEBUG");
}

/** The level that `setDebugLevel` set, else `level`. */
export function levelSetOr(level: DebugLevel): DebugLevel {
  return levelSet ?? level;
}

function levelOf(text: string, name: string): DebugLevel {
  const level = LEVELS.find((one) => one === String(text).toUpperCase());
  if (!level) throw new RangeError(`${name} is "${text}": use one of ${LEVELS.join(", ")}`);
  return level;
}

/** A logger to the console's error stream, which shows as much as the level of the moment says. */
export function consoleLogger(level: () => DebugLevel): Logger {
  const print =
    (needed: DebugLevel, word: string) =>
    (message: string, ...details: unknown[]) => {
      if (LEVELS.indexOf(level()) >= LEVELS.indexOf(needed)) console.error(`webccl ${word}: ${message}`, ...details);
    };
  return {
    error: print("WARN", "error"),
    warn: print("WARN", "warning"),
    info: print("INFO", "info"),
    debug: print("DETAIL", "debug"),
  };
}

/** `logger`, whose lines begin with the rank. */
export function loggerOfRank(logger: Logger, rank: number): Logger {
  const of =
    (method: keyof Logger) =>
    (message: string, ...details: unknown[]) =>
      logger[method](`rank ${rank}: ${message}`, ...details);
  return { error: of("error"), warn: of("warn"), info: of("info"), debug: of("debug") };
}

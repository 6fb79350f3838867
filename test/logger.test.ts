import { afterEach, describe, expect, it, vi } from "vitest";
import { consoleLogger, debugLevelIn, loggerOfRank } from "../src/logger.ts";
import { getDebugLevel, initProcessGroup, setDebugLevel } from "../src/node/index.ts";

afterEach(() => {
  setDebugLevel(null);
  vi.restoreAllMocks();
});

describe("the debug level", () => {
  it.each([
    ["OFF", 0],
    ["WARN", 2],
    ["INFO", 3],
    ["DETAIL", 4],
  ] as const)("%s shows %i of an error, a warning, an info and a debug line, with the rank", (level, shown) => {
    const print = vi.spyOn(console, "error").mockImplementation(() => {});
    const logger = loggerOfRank(
      consoleLogger(() => debugLevelIn(() => "OFF")),
      3,
    );
    setDebugLevel(level);
    for (const method of ["error", "warn", "info", "debug"] as const) logger[method]("text");
    expect(print.mock.calls.length).toBe(shown);
    for (const [line] of print.mock.calls) expect(line).toMatch(/^webccl \w+: rank 3: text$/);
    expect(getDebugLevel()).toBe(level);
  });

  it("is the environment's unless it is set, and a wrong one is refused", async () => {
    expect([debugLevelIn(() => undefined), debugLevelIn(() => "detail")]).toEqual(["WARN", "DETAIL"]);
    expect(() => debugLevelIn(() => "LOUD")).toThrow(/WEBCCL_DEBUG is "LOUD": use one of OFF/);
    expect(() => setDebugLevel("LOUD" as "OFF")).toThrow(RangeError);
    const lines: string[] = [];
    const add = (line: string) => void lines.push(line);
    const logger = { error: add, warn: add, info: add, debug: add };
    const group = await initProcessGroup({ initMethod: "memory://logger", rank: 0, worldSize: 1, logger });
    await group.destroy();
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line).toMatch(/^rank 0: /);
  });
});

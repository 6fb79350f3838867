/** The simulator finds no fault in the library, replays a seed exactly, and finds faults where there are some. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { Violation } from "../../src/simulated/run/invariants.ts";
import { drawSchedule, type Schedule } from "../../src/simulated/run/schedule.ts";
import { PINNED } from "./pinned.ts";

const MAIN = fileURLToPath(new URL("../../dist/simulated/main.js", import.meta.url));
const RUN = fileURLToPath(new URL("./programs/run.mjs", import.meta.url));

const TIDES = fileURLToPath(new URL("./programs/tides.mjs", import.meta.url));

/** Of the seeds of R16; `npm run nightly -- simulation` runs more. */
const SEEDS = 300;
/** They take 5 s where nothing else runs. */
const SEEDS_TIMEOUT_MS = 180_000;

interface Outcome {
  readonly hash: string;
  readonly events: number;
  readonly violations: readonly Violation[];
  readonly causes: readonly (string | null)[];
  readonly shortened: Schedule | null;
}

function simulate(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8", maxBuffer: 2 ** 26 });
}

/** What becomes of schedules that one process runs. */
function run(schedules: readonly Schedule[], ...args: string[]): Outcome[] {
  const input = JSON.stringify(schedules);
  const { status, stdout, stderr } = spawnSync(process.execPath, [RUN, ...args], { encoding: "utf8", input });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Outcome[];
}

describe("npm run simulate", () => {
  it(`breaks no invariant with ${SEEDS} seeds, and tells how many schedules it ran`, {
    timeout: SEEDS_TIMEOUT_MS,
  }, () => {
    const { status, stdout, stderr } = simulate("--seeds", String(SEEDS), "--first-seed", "100");
    expect(stdout.split("\n").slice(0, -2)).toEqual([]);
    expect(stdout).toMatch(new RegExp(`^${SEEDS} schedules, 0 violations, \\d+ schedules a minute\\n$`));
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });

  it("exits with 1 where an invariant is broken, names it, and prints a shorter schedule", () => {
    // No bring-up ends in time over such a network.
    const schedule: Schedule = { ...drawSchedule(7), topology: "hosted", ranks: 2, latencyMs: 4_000, faults: [] };
    const { status, stdout } = simulate("--schedule", JSON.stringify(schedule));
    expect(stdout).toMatch(/^VIOLATION unharmed: rank \d/m);
    expect(status).toBe(1);
  });

  it("prints every event of one seed", () => {
    const { status, stdout } = simulate("--seed", "9", "--trace", "--json");
    const { trace, events, violations } = JSON.parse(stdout);
    expect({ status, violations }).toEqual({ status: 0, violations: [] });
    expect(trace.length).toBeGreaterThanOrEqual(events);
  });

  it.each([
    ["--seeds", "none"],
    ["--seeds", "0"],
    ["--first-seed", "-1"],
    ["--seed", "1.5"],
    ["--speed", "1"],
  ])("refuses %s %s", (option, value) => {
    const { status, stderr } = simulate(`${option}=${value}`);
    expect(stderr).toContain(option);
    expect(status).toBe(2);
  });
});

describe("a seed", () => {
  it("gives the same trace in every process, whatever ran there before", () => {
    const schedules = Array.from({ length: 40 }, (_, seed) => drawSchedule(7_000 + seed));
    const forth = run(schedules).map(({ hash }) => hash);
    const back = run([...schedules].reverse()).map(({ hash }) => hash);
    expect(back.reverse()).toEqual(forth);
    expect(new Set(forth).size).toBe(forth.length);
  });
});

describe("a group of 16 ranks", () => {
  it("shrinks through 8 losses and grows by 8 joins, and every allReduce between is exact", {
    timeout: 120_000,
  }, () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [TIDES, "16", "8", "8"], { encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({ epochs: 16, largest: 16, errors: [], violations: [] });
  });
});

describe("a program that goes wrong", () => {
  it("is found, and its schedule shortened to the fewest ranks and no fault", () => {
    const schedule: Schedule = {
      ...{ seed: 1, topology: "hub", ranks: 4, calls: 1, latencyMs: 1, timeoutMs: 3_000, peerTimeoutMs: 1_500 },
      leaves: "destroy",
      faults: [
        { kind: "delay", where: "rank 0", other: "rank 1", ms: 20 },
        { kind: "jump", where: "rank 1", event: 5, ms: 50 },
      ],
    };
    const [outcome] = run([schedule], "lying");
    expect(outcome?.violations[0]?.invariant).toBe("exact");
    expect(outcome?.shortened).toMatchObject({ ranks: 2, calls: 1, faults: [] });
  });
});

describe("what the simulator found", () => {
  const outcomes = run(PINNED.map(([, schedule]) => schedule));

  it.each(PINNED.map(([name], index) => [name, index] as const))("%s: mended", (_, index) => {
    expect(outcomes[index]?.violations).toEqual([]);
    // Faults that only slow things down end no group.
    const mayEnd = PINNED[index]![1].faults.some(({ kind }) => kind !== "delay" && kind !== "stall");
    expect(outcomes[index]?.causes.some((cause) => cause !== null)).toBe(mayEnd);
  });
});

/** `npm run chaos` in short: once a few of its faults, and what a run says of itself. */
import { describe, expect, it } from "vitest";
import { lineOf } from "../../bench/chaos/report.ts";
import { drawFaults, isKept, runScenario } from "../../bench/chaos/run-scenario.ts";
import type { Outcome, Scenario } from "../../bench/chaos/scenario.ts";
import { SCENARIOS } from "../../bench/chaos/scenarios/all.ts";

const extent = { minutes: 0.05 };
const scenarioOf = (id: string): Scenario => SCENARIOS.find((scenario) => scenario.id === id)!;

describe("npm run chaos", () => {
  it.each([
    ["R3", 1],
    ["R4", 1],
    ["R6", 3],
    ["R7", 1],
    ["R13", 3],
  ])("%s is kept, %i times", { timeout: 120_000 }, async (id, repetitions) => {
    const seed = Number(process.env.WEBCCL_CHAOS_SEED ?? Date.now() % 2 ** 31);
    const result = await runScenario(scenarioOf(id), { seed, extent, repetitions });
    console.log(`seed ${seed}: ${lineOf(result)}`);
    expect(result, lineOf(result)).toMatchObject({
      injected: repetitions,
      survived: repetitions,
      wrong: [],
      broken: [],
    });
  });

  it("draws the same faults from the same seed, and others from another", () => {
    for (const scenario of SCENARIOS) {
      const drawn = (seed: number) => drawFaults(scenario, { seed, extent: { minutes: 10 } }).map(({ what }) => what);
      expect(drawn(1)).toEqual(drawn(1));
      if (scenario.id !== "R12") expect(drawn(1), scenario.id).not.toEqual(drawn(2));
    }
  });

  /** A scenario whose one fault does this. */
  const doing = (inject: () => Promise<Outcome>, medianLimitMs?: number): Scenario => ({
    ...{ id: "R0", title: "a trial", limitMs: 100, repetitions: 2, draw: () => ({ what: "a fault", inject }) },
    ...(medianLimitMs === undefined ? {} : { medianLimitMs }),
  });
  const clean = { times: [10], wrong: [], broken: [] };

  it.each<[string, Scenario, number]>([
    ["a wrong value", doing(async () => ({ ...clean, wrong: ["3 where 4 is right"] })), 0],
    ["a broken promise", doing(async () => ({ ...clean, broken: ["nobody was named"] })), 0],
    ["a time above the limit", doing(async () => ({ ...clean, times: [99, 101] })), 0],
    ["a median above its limit", doing(async () => clean, 9), 2],
    [
      "a job that ends early",
      doing(async () => {
        throw new Error("every rank ended first");
      }),
      0,
    ],
  ])("says that a promise is broken: %s", async (_, scenario, survived) => {
    const result = await runScenario(scenario, { seed: 1, extent });
    expect(isKept(result)).toBe(false);
    expect(result).toMatchObject({ injected: 2, survived });
    expect(lineOf(result)).toMatch(/^R0 {3}BROKEN: /);
  });

  it("says that a promise was kept, with the times beside the target", async () => {
    const result = await runScenario(
      doing(async () => clean),
      { seed: 1, extent },
    );
    expect(lineOf(result)).toBe(
      "R0   kept: 2/2 survived, 0 wrong values; median 10 ms, worst 10 ms of 2 (target 100 ms)\n     a trial",
    );
  });
});

/** A short run of the fuzzer; `npm run fuzz` makes long ones. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { fuzz } from "./fuzz.ts";

/** A planted bug is found within so many frames. */
const WITHIN_FRAMES = 5_000;

/** Sessions that found something once: seed, target, session. */
const REGRESSIONS: readonly (readonly [number, string, number])[] = [];

describe("whatever strangers, members, hubs and clients send", () => {
  it("ends nothing but their own connections, and changes no value of others", { timeout: 120_000 }, async () => {
    const { findings, frames } = await fuzz({ seed: 1, seconds: 5, frames: 2_000 });
    expect(findings).toEqual([]);
    expect(frames).toBeGreaterThan(100);
  });

  it("would be found by it: one bug planted in each target", { timeout: 300_000 }, () => {
    const program = fileURLToPath(new URL("programs/planted.ts", import.meta.url));
    const words = ["--import", "tsx", program, String(WITHIN_FRAMES)];
    const { stdout, stderr } = spawnSync(process.execPath, words, { encoding: "utf8" });
    const found: Record<string, number | null> = JSON.parse(stdout || "{}");
    expect(Object.keys(found).length, stderr).toBe(6);
    expect(Object.entries(found).filter(([, frames]) => frames === null)).toEqual([]);
  });

  it.runIf(REGRESSIONS.length > 0).each(REGRESSIONS)("seed %d, %s, session %d", async (seed, target, first) => {
    const { findings } = await fuzz({ seed, seconds: 60, frames: 1, first, targets: [target] });
    expect(findings).toEqual([]);
  });
});

/**
 * The fuzzer: sessions of drawn messages against every side that takes bytes from others, while somebody else uses the same
 * servers. A session depends on the seed, its target and its number alone.
 */
import { SeededRandom } from "../../src/support/seeded-random.ts";
import { Draws } from "./draws.ts";
import { TARGETS, type Target } from "./targets.ts";

export interface FuzzOptions {
  readonly seed: number;
  /** Ends when so much time has passed, or so many frames were sent. */
  readonly seconds: number;
  readonly frames: number;
  /** The number of the first session of each target. Default: 0. */
  readonly first?: number;
  /** Ends when so many sessions have found something. Default: 10. */
  readonly most?: number;
  /** Default: all of {@link TARGETS}. */
  readonly targets?: readonly string[];
  onProgress?(frames: number, sessions: number): void;
}

/** A session after which something was not as it should be. */
export interface Finding {
  readonly target: string;
  readonly session: number;
  readonly error: string;
}

export interface FuzzResult {
  readonly seed: number;
  readonly frames: number;
  readonly sessions: number;
  readonly findings: readonly Finding[];
}

/** Runs one session after the other of each target in turn. */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { seed, seconds, frames: wanted, first = 0, targets = Object.keys(TARGETS), most = 10, onProgress } = options;
  const open = new Map<string, Target>();
  for (const name of targets) open.set(name, await TARGETS[name]!());
  const findings: Finding[] = [];
  let current = { target: "", session: 0 };
  const note = (error: unknown) => findings.push({ ...current, error: String((error as Error)?.stack ?? error) });
  process.on("uncaughtException", note).on("unhandledRejection", note);
  const end = performance.now() + seconds * 1_000;
  let frames = 0;
  let sessions = 0;
  try {
    for (let session = first; performance.now() < end && frames < wanted && findings.length < most; session++) {
      for (const [name, target] of open) {
        current = { target: name, session };
        try {
          frames += await target.session(new Draws(new SeededRandom(seed, name, session)));
          await target.healthy();
        } catch (error) {
          note(error);
        }
        sessions++;
        onProgress?.(frames, sessions);
      }
    }
    // Whatever was thrown over the last of them has been by now.
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    for (const target of open.values()) await target.close();
    process.off("uncaughtException", note).off("unhandledRejection", note);
  }
  return { seed, frames, sessions, findings };
}

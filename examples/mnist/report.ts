/** What the program is told, and what it tells. */
import { countOf } from "../shared/progress.ts";

export interface Settings {
  epochs: number;
  steps: number;
  batch: number;
  hook: "int8" | null;
  html: string | null;
  weights: string | null;
  json: boolean;
}

/** What came of it. */
export interface Outcome {
  /** The runtime of each rank. */
  ranks: string[];
  steps: number;
  /** The mean loss of all ranks, step by step. */
  losses: number[];
  /** The share of the test digits that are read rightly. */
  accuracy: number;
  /** The payload that all ranks together send in a step, by the formula of the ring or of the hook. */
  bytesPerStep: number;
  msPerStep: number;
  /** The share of the time in which a rank averages gradients and waits for others. */
  averagingShare: number;
}

/**
 * The options on the command line of rank 0, which is a process.
 * @throws Error for one that is unknown or no number.
 */
export async function readSettings(): Promise<Settings> {
  const { parseArgs } = await import("node:util");
  const text = { type: "string" } as const;
  const options = {
    epochs: text,
    steps: text,
    batch: text,
    hook: text,
    html: text,
    weights: text,
    json: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ options });
  const { hook = null } = values;
  if (hook !== null && hook !== "int8") throw new Error(`--hook must be int8, got ${hook}`);
  return {
    ...{ hook, epochs: countOf("epochs", values.epochs, 10) },
    ...{ steps: countOf("steps", values.steps, 1e9), batch: countOf("batch", values.batch, 16) },
    ...{ html: values.html ?? null, weights: values.weights ?? null, json: values.json ?? false },
  };
}

/** The outcome in one sentence, above the plot of the loss. */
export function sentenceOf({ accuracy, losses, ranks }: Outcome): string {
  return `${(100 * accuracy).toFixed(1)} % of the test digits are read rightly after ${losses.length} steps on ${ranks.join(", ")}`;
}

/** What train.ts is told, and what it tells. */
import { countOf } from "../shared/progress.ts";

export interface Settings {
  steps: number;
  batch: number;
  seed: number;
  testEvery: number;
  sample: number;
  html: string | null;
  weights: string | null;
  onnx: string | null;
  json: boolean;
}

/** What came of it. */
export interface Outcome {
  /** The runtime of each rank. */
  ranks: string[];
  steps: number;
  /** Pieces of text that all ranks together have trained with. */
  samples: number;
  /** The mean loss of all ranks, step by step, in nats for each character. */
  losses: number[];
  /** The loss on text that no step trains with, after so many pieces. */
  tests: { samples: number; loss: number }[];
  /** The payload that all ranks together send in a step, by the formula of the ring. */
  bytesPerStep: number;
  msPerStep: number;
  /** The share of the time in which a rank averages gradients and waits for others. */
  averagingShare: number;
  /** What the model writes. */
  text: string;
}

/**
 * The options on the command line of rank 0, which is a process.
 * @throws Error for one that is unknown or no number, or for a batch that leaves a rank of `size` without a piece.
 */
export async function readSettings(size: number): Promise<Settings> {
  const { parseArgs } = await import("node:util");
  const text = { type: "string" } as const;
  const options = {
    ...{ steps: text, batch: text, seed: text, "test-every": text, sample: text, html: text, weights: text },
    onnx: text,
    json: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ options });
  const batch = countOf("batch", values.batch, 8);
  // The average weighs every rank alike, so all must have as many pieces.
  if (batch % size !== 0) throw new Error(`--batch must be a multiple of the ${size} ranks, got ${batch}`);
  return {
    ...{ batch, steps: countOf("steps", values.steps, 400), seed: countOf("seed", values.seed, 1) },
    ...{ testEvery: countOf("test-every", values["test-every"], 25), sample: countOf("sample", values.sample, 200) },
    ...{ html: values.html ?? null, weights: values.weights ?? null, onnx: values.onnx ?? null },
    json: values.json ?? false,
  };
}

/** The outcome in one sentence, above the plot of the loss. */
export function sentenceOf({ tests, steps, samples, ranks }: Outcome): string {
  const loss = tests.at(-1)?.loss.toFixed(3);
  return `The loss on other sonnets is ${loss} after ${steps} steps with ${samples} pieces of text on ${ranks.join(", ")}`;
}

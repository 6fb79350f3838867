/** What the program is told, and what it tells: its options, a progress bar, and a page with the loss. */

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
  const count = (name: "epochs" | "steps" | "batch", fallback: number) => {
    const value = Number(values[name] ?? fallback);
    if (!(value >= 1)) throw new Error(`--${name} must be a number from 1 on, got ${values[name]}`);
    return value;
  };
  const { hook = null } = values;
  if (hook !== null && hook !== "int8") throw new Error(`--hook must be int8, got ${hook}`);
  return {
    ...{ hook, epochs: count("epochs", 10), steps: count("steps", 1e9), batch: count("batch", 16) },
    ...{ html: values.html ?? null, weights: values.weights ?? null, json: values.json ?? false },
  };
}

/** Shows how far `steps` steps are: a bar on a terminal, else a line now and then. */
export function progressOf(steps: number): (step: number, loss: number) => void {
  const { isTTY } = process.stdout;
  const every = Math.ceil(steps / 10);
  return (step, loss) => {
    const text = `step ${step} of ${steps}, loss ${loss.toFixed(3)}`;
    if (isTTY) {
      const done = Math.round((30 * step) / steps);
      process.stdout.write(`\r[${"#".repeat(done)}${".".repeat(30 - done)}] ${text} ${step === steps ? "\n" : ""}`);
    } else if (step % every === 0 || step === steps) console.log(text);
  };
}

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [720, 320, 48, 28];

/** A page with the loss over the steps, which needs nothing else. */
export function lossPage({ losses, accuracy, ranks }: Outcome): string {
  const top = Math.max(...losses);
  const x = (step: number) => LEFT + ((WIDTH - LEFT - 8) * step) / Math.max(1, losses.length - 1);
  const y = (loss: number) => 8 + (HEIGHT - BOTTOM - 8) * (1 - loss / top);
  const points = losses.map((loss, step) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const at = y(share * top).toFixed(1);
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - 8}" y1="${at}" y2="${at}"/><text x="${LEFT - 6}" y="${at}" text-anchor="end" dy="4">${(share * top).toFixed(2)}</text>`;
  });
  const result = `${(100 * accuracy).toFixed(1)} % of the test digits are read rightly after ${losses.length} steps on ${ranks.join(", ")}`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Loss</title>
<style>
  :root { color-scheme: light dark; --text: #1b1f24; --curve: #2f6fd0; --line: #d0d7de; --page: #fff; }
  @media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --curve: #5b9cf5; --line: #3d444d; --page: #0d1117; } }
  body { margin: 2rem auto; max-width: 46rem; padding: 0 1rem; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
  svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; } text { fill: var(--text); }
  .grid { stroke: var(--line); } .curve { fill: none; stroke: var(--curve); stroke-width: 1.5; }
</style>
<h1>Loss</h1>
<p>${result}.</p>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Loss from ${losses[0]?.toFixed(2)} to ${losses.at(-1)?.toFixed(2)}">
${grid.join("\n")}
<polyline class="curve" points="${points}"/>
<text x="${LEFT}" y="${HEIGHT - 8}">step 1</text><text x="${WIDTH - 8}" y="${HEIGHT - 8}" text-anchor="end">step ${losses.length}</text>
</svg>
</html>
`;
}

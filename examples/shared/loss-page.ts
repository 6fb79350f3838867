/** A page with the loss over the steps, which needs nothing else. */

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [720, 320, 48, 28];

/** The page; `result` is the sentence above the plot. */
export function lossPage(losses: readonly number[], result: string): string {
  const top = Math.max(...losses);
  const x = (step: number) => LEFT + ((WIDTH - LEFT - 8) * step) / Math.max(1, losses.length - 1);
  const y = (loss: number) => 8 + (HEIGHT - BOTTOM - 8) * (1 - loss / top);
  const points = losses.map((loss, step) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const at = y(share * top).toFixed(1);
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - 8}" y1="${at}" y2="${at}"/><text x="${LEFT - 6}" y="${at}" text-anchor="end" dy="4">${(share * top).toFixed(2)}</text>`;
  });
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

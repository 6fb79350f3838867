/** The loss over the steps, in the demo's chart. */
import { LineChart } from "../../../demo/chart.ts";

/** Points of the curve, at most: each is the mean of so many steps. */
const MOST_POINTS = 200;

/** Makes the chart in `host`; it draws the losses that it is given. */
export function openLossChart(host: HTMLElement): (losses: readonly number[]) => void {
  const chart = new LineChart(host, {
    x: { name: "Step", format: String },
    y: { format: (loss) => loss.toFixed(2), startsAtZero: false },
    lines: [{ name: "Loss", color: "--accent" }],
    isLog: false,
  });
  return (losses) => {
    const each = Math.ceil(losses.length / MOST_POINTS);
    const points = Array.from({ length: Math.ceil(losses.length / each) }, (_, i) => {
      const part = losses.slice(i * each, (i + 1) * each);
      return part.reduce((sum, loss) => sum + loss, 0) / part.length;
    });
    const steps = points.map((_, i) => Math.min(losses.length, (i + 1) * each));
    const [first = 0, last = 0] = [points[0], points.at(-1)];
    chart.show([steps, points], `Loss from ${first.toFixed(2)} to ${last.toFixed(2)} after ${losses.length} steps`);
  };
}

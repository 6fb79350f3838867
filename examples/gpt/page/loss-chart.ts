/** The loss over the steps, as SVG, in the look of the demo's chart. */
import { element, text } from "../../../demo/chart.ts";

const NARROWEST = 280;
const HEIGHT = 260;
const [LEFT, RIGHT, TOP, BOTTOM] = [40, 12, 12, 28];
/** Points of the curve, at most: each is the mean of so many steps. */
const MOST_POINTS = 200;

/** Draws `losses` into `host`. */
export function drawLoss(host: HTMLElement, losses: readonly number[]): void {
  const width = Math.max(NARROWEST, host.clientWidth);
  const each = Math.ceil(losses.length / MOST_POINTS);
  const points = Array.from({ length: Math.ceil(losses.length / each) }, (_, i) => {
    const part = losses.slice(i * each, (i + 1) * each);
    return part.reduce((sum, loss) => sum + loss, 0) / part.length;
  });
  const [bottom, top] = [Math.floor(Math.min(...points)), Math.ceil(Math.max(...points, Math.min(...points) + 1))];
  const x = (point: number) => LEFT + ((width - LEFT - RIGHT) * point) / Math.max(1, points.length - 1);
  const y = (loss: number) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (loss - bottom) / (top - bottom));
  const last = points.at(-1) ?? 0;
  const svg = element("svg", { width, height: HEIGHT, role: "img" });
  svg.setAttribute(
    "aria-label",
    `Loss from ${points[0]?.toFixed(2)} to ${last.toFixed(2)} after ${losses.length} steps`,
  );
  for (let i = 0; i <= 4; i++) {
    const loss = bottom + ((top - bottom) * i) / 4;
    svg.append(element("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(loss), y2: y(loss) }));
    svg.append(text(loss.toFixed(2), { x: LEFT - 6, y: y(loss) + 4, "text-anchor": "end" }));
  }
  svg.append(text("step 1", { x: LEFT, y: HEIGHT - 8 }));
  svg.append(text(`step ${losses.length}`, { x: width - RIGHT, y: HEIGHT - 8, "text-anchor": "end" }));
  svg.append(element("polyline", { class: "curve", points: points.map((loss, i) => `${x(i)},${y(loss)}`).join(" ") }));
  svg.append(element("circle", { class: "point", cx: x(points.length - 1), cy: y(last), r: 4 }));
  host.replaceChildren(svg);
}

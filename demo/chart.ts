/** A line chart of bandwidth over size, as SVG. */
import type { Measured } from "./measure.ts";

const NARROWEST = 280;
const HEIGHT = 260;
const LEFT = 64;
const RIGHT = 12;
const TOP = 24;
const BOTTOM = 28;
/** Room for the label of a size. */
const LABEL_WIDTH = 64;
/** Each size is 4 times the one before. */
const SIZE_POWERS = 2;

/** Draws `points` into `host`; the x axis spans `maxBytes` from the start, so that the curve grows as sizes come in. */
export function drawChart(host: HTMLElement, points: readonly Measured[], maxBytes: number): void {
  const width = Math.max(NARROWEST, host.clientWidth);
  const first = Math.log2(Math.min(1024, ...points.map(({ bytes }) => bytes)));
  const last = Math.max(first + 1, Math.log2(maxBytes));
  const top = niceTop(Math.max(0.001, ...points.map(({ algBwGBs }) => algBwGBs)));
  const x = (bytes: number) => LEFT + ((Math.log2(bytes) - first) / (last - first)) * (width - LEFT - RIGHT);
  const y = (rate: number) => HEIGHT - BOTTOM - (rate / top) * (HEIGHT - TOP - BOTTOM);
  const svg = element("svg", { width, height: HEIGHT, role: "img" });
  const best = points.reduce<Measured | null>((a, b) => (a && a.algBwGBs >= b.algBwGBs ? a : b), null);
  const label = best
    ? `algbw per size; the best is ${formatRate(best.algBwGBs)} at ${formatBytes(best.bytes)}`
    : "algbw";
  svg.setAttribute("aria-label", label);
  for (let i = 0; i <= 4; i++) {
    const rate = (top * i) / 4;
    svg.append(element("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(rate), y2: y(rate) }));
    svg.append(text(i === 0 ? "0" : formatRate(rate), { x: LEFT - 8, y: y(rate) + 4, "text-anchor": "end" }));
  }
  // From the last size down, so that it always has its label; as many others as there is room for.
  const room = Math.floor((width - LEFT - RIGHT) / LABEL_WIDTH);
  const step = SIZE_POWERS * Math.ceil((last - first) / SIZE_POWERS / room);
  for (let power = last; power >= first; power -= step) {
    svg.append(
      text(formatBytes(2 ** power), {
        x: x(2 ** power),
        y: HEIGHT - 8,
        "text-anchor": power === last ? "end" : "middle",
      }),
    );
  }
  const path = points.map(({ bytes, algBwGBs }) => `${x(bytes)},${y(algBwGBs)}`).join(" ");
  svg.append(element("polyline", { class: "curve", points: path }));
  for (const { bytes, algBwGBs } of points) {
    svg.append(element("circle", { class: "point", cx: x(bytes), cy: y(algBwGBs), r: 4 }));
  }
  if (best) {
    const anchor = x(best.bytes) > width - 80 ? "end" : "middle";
    svg.append(
      text(formatRate(best.algBwGBs), {
        class: "value",
        x: x(best.bytes),
        y: y(best.algBwGBs) - 9,
        "text-anchor": anchor,
      }),
    );
  }
  host.replaceChildren(svg);
}

/** "1.25 GB/s", "12 MB/s". */
export function formatRate(rate: number): string {
  return rate >= 0.9995 ? `${formatNumber(rate)} GB/s` : `${formatNumber(rate * 1000)} MB/s`;
}

/** "64 KiB". */
export function formatBytes(bytes: number): string {
  for (const [unit, size] of [
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const) {
    if (bytes >= size) return `${Number((bytes / size).toFixed(1))} ${unit}`;
  }
  return `${bytes} B`;
}

/** "840 µs", "12.3 ms". */
export function formatMs(ms: number): string {
  return ms < 1 ? `${(1000 * ms).toFixed(0)} µs` : `${ms.toFixed(ms < 100 ? 1 : 0)} ms`;
}

function formatNumber(value: number): string {
  return String(Number(value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)));
}

function niceTop(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 4, 6, 8, 10].find((factor) => factor * power >= value * 1.05)!;
}

/** An SVG element. */
export function element(name: string, attributes: Readonly<Record<string, string | number>>): SVGElement {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}

/** A text in an SVG. */
export function text(content: string, attributes: Readonly<Record<string, string | number>>): SVGElement {
  const node = element("text", attributes);
  node.textContent = content;
  return node;
}

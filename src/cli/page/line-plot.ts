/** A plot of lines for reports, both axes logarithmic: a drawing that stretches, beside words that do not. */
import { colorOf, escapeHtml, keys, placesOf, sizeName } from "./report-page.ts";

/** One line: its name, and its points. */
export interface PlottedLine {
  name: string;
  /** Bytes, and the rate there in decimal GB/s. */
  points: readonly (readonly [bytes: number, rate: number])[];
}

/** Rates over sizes. A rate of 0 has no place on a logarithmic axis and no point. */
export function linePlot(label: string, given: readonly PlottedLine[]): string {
  const lines = given.map(({ name, points }) => ({ name, points: points.filter(([, rate]) => rate > 0) }));
  const points = lines.flatMap((line) => line.points);
  if (points.length === 0) return `<p class="note">There is nothing to draw: no bytes moved.</p>`;
  const sizes = [...new Set(points.map(([bytes]) => bytes))].sort((a, b) => a - b);
  const [first = 1, last = first] = [sizes[0], sizes.at(-1)];
  const rates = points.map(([, rate]) => rate);
  const ticks = ticksOf(Math.min(...rates), Math.max(...rates));
  const [bottom = 0, top = 0] = [ticks[0], ticks.at(-1)];
  const across = (bytes: number) => 100 * share(bytes, first, last);
  const up = (rate: number) => 100 * share(rate, bottom, top);
  const grid = ticks.map((rate) => `<line x1="0" x2="100" y1="${at(100 - up(rate))}" y2="${at(100 - up(rate))}"/>`);
  const drawn = lines.map(({ points: own }, i) => {
    const path = own.map(([bytes, rate]) => `${at(across(bytes))},${at(100 - up(rate))}`).join(" ");
    return `<polyline style="--color: ${colorOf(i)}" points="${path}"/>`;
  });
  const left = ticks.map((rate) => `<span style="--at: ${at(up(rate))}%">${placesOf(rate)}</span>`);
  const below = thinned(sizes).map((bytes) => `<span style="--at: ${at(across(bytes))}%">${sizeName(bytes)}</span>`);
  const label0 = Math.max(...ticks.map((rate) => placesOf(rate).length));
  return `${keys(lines.map(({ name }) => name))}
<figure class="plot" style="--label: ${label0}ch"><div class="plot-unit">GB/s</div><div class="plot-y" aria-hidden="true">${left.join("")}</div>
<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="${escapeHtml(label)}">${grid.join("")}${drawn.join("")}</svg>
<div class="plot-x" aria-hidden="true">${below.join("")}</div></figure>
`;
}

const at = (value: number) => String(Number(value.toFixed(2)));

/** Where `value` is between two others, by their logarithms: 0 to 1, and 0.5 if they are one. */
function share(value: number, from: number, to: number): number {
  return from === to ? 0.5 : Math.log(value / from) / Math.log(to / from);
}

/** 1, 2 and 5 times powers of ten around all rates, or the powers alone where they are many. */
function ticksOf(least: number, most: number): number[] {
  const decades = Math.log10(most / least);
  const factors = decades > 2.5 ? [1] : [1, 2, 5];
  const all: number[] = [];
  for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(most)); power++) {
    for (const factor of factors) all.push(Number((factor * 10 ** power).toPrecision(1)));
  }
  const from = all.findLastIndex((tick) => tick <= least);
  const to = all.findIndex((tick) => tick >= most);
  return all.slice(Math.max(0, from), to + 1);
}

/** At most eight of the sizes, the last among them. */
function thinned(sizes: readonly number[]): number[] {
  const step = Math.ceil(sizes.length / 8);
  return sizes.filter((_, i) => (sizes.length - 1 - i) % step === 0);
}

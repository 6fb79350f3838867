/** A chart of lines that grow while the page runs, by uPlot: it fits its data and fills its room, in the colours of the page. */
// First: see there.
import "./language.ts";

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

/** One line. */
export interface Line {
  readonly name: string;
  /** A colour of look.css, such as "--accent". */
  readonly color: string;
}

/** The axes and lines of a chart. */
export interface ChartOptions {
  readonly x: { readonly name: string; format(value: number): string };
  readonly y: { format(value: number): string; readonly startsAtZero: boolean };
  readonly lines: readonly Line[];
  /** Each x is a power of 2, and has its mark. */
  readonly isLog: boolean;
}

const HEIGHT = 300;
const NARROWEST = 240;
/** Room that a mark of the x axis needs, in pixels. */
const MARK_WIDTH = 68;
const FONT = "12px system-ui, sans-serif";

export class LineChart {
  readonly #host: HTMLElement;
  readonly #options: ChartOptions;
  #plot: uPlot | null = null;
  #data: readonly (readonly number[])[] = [];
  #words = "";

  constructor(host: HTMLElement, options: ChartOptions) {
    this.#host = host;
    this.#options = options;
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(host);
    // The colours of lines and legend are those of the moment in which they are made.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** Shows the lines: their x, then the values of each. `words` say the same to those who do not see them. */
  show(data: readonly (readonly number[])[], words: string): void {
    const [x = [], ...lines] = data;
    this.#data = [this.#options.isLog ? x.map(Math.log2) : x, ...lines];
    this.#words = words;
    if (this.#plot) this.#fill(this.#plot);
    else this.#draw();
  }

  #draw(): void {
    if (this.#data.length === 0) return;
    this.#plot?.destroy();
    this.#plot = new uPlot(this.#described(), [[]], this.#host);
    this.#plot.root.querySelector(".u-wrap")?.setAttribute("role", "img");
    this.#fill(this.#plot);
  }

  #fill(plot: uPlot): void {
    plot.root.querySelector(".u-wrap")?.setAttribute("aria-label", this.#words);
    plot.setData(this.#data.map((values) => [...values]) as uPlot.AlignedData);
    // uPlot draws, and empties the legend, in the next microtask.
    queueMicrotask(() => this.#tellLast(plot));
  }

  /** The legend has the figures of the last point while nobody points at another. */
  #tellLast(plot: uPlot): void {
    const last = (this.#data[0]?.length ?? 0) - 1;
    if (plot === this.#plot && last >= 0 && typeof plot.cursor.idx !== "number") plot.setLegend({ idx: last }, false);
  }

  #size(): { width: number; height: number } {
    return { width: Math.max(NARROWEST, this.#host.clientWidth), height: HEIGHT };
  }

  #described(): uPlot.Options {
    const { x, y, lines, isLog } = this.#options;
    const xText = (value: number) => x.format(isLog ? 2 ** value : value);
    const axis = { stroke: colorOf("--soft"), font: FONT, ticks: { show: false } };
    const grid = { stroke: colorOf("--line"), width: 1 };
    const marks = { splits: (plot: uPlot) => this.#marks(plot) };
    return {
      ...this.#size(),
      scales: {
        x: { time: false, range: (_plot, least, most) => padded(least, most) },
        y: { range: (_plot, least, most) => (y.startsAtZero ? [0, (most || 1) * 1.1] : padded(least, most, 0.08)) },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 28, values: (_plot, marked) => marked.map(xText), ...(isLog && marks) },
        { ...axis, grid, size: 72, space: 44, values: (_plot, marked) => marked.map((value) => y.format(value)) },
      ],
      series: [
        { label: x.name, value: (_plot, value) => (value === null ? "" : xText(value)) },
        ...lines.map(({ name, color }): uPlot.Series => {
          const stroke = colorOf(color);
          const value = (_plot: uPlot, one: number | null) => (one === null ? "" : y.format(one));
          return { label: name, stroke, width: 2.5, value, points: { show: isLog, size: 8, fill: stroke, stroke } };
        }),
      ],
      cursor: { drag: { x: false, y: false }, y: false },
      hooks: { setCursor: [(plot) => this.#tellLast(plot)] },
      legend: { markers: { width: 0, fill: (_plot, i) => colorOf(lines[i - 1]?.color ?? "--soft") } },
    };
  }

  /** The x of the data that have a mark, from the last down, which so always has one: as many as there is room for. */
  #marks(plot: uPlot): number[] {
    const all = [...(this.#data[0] ?? [])];
    const step = Math.ceil(all.length / Math.max(1, Math.floor((plot.width - 80) / MARK_WIDTH)));
    return all.filter((_, i) => (all.length - 1 - i) % step === 0);
  }
}

const colorOf = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A little more than from `least` to `most`, so that no point lies on the edge. */
function padded(least: number, most: number, share = 0.03): [number, number] {
  const room = share * (most - least) || 0.5;
  return [least - room, most + room];
}

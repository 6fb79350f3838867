/** The page of `webccl bench kernels --html`: one plot per device, in one file that needs nothing else. */
import type { ReduceOpName } from "../../reduce-op.ts";
import type { DataType } from "../../types.ts";
import type { GpuFoldRow } from "./bench-gpu-kernels.ts";

/** The rates of one device, in decimal GB/s of bytes read and written. */
export interface DeviceRates {
  device: string;
  /** The copy that rates are compared with. */
  yardstick: "memcpy" | "copyBufferToBuffer";
  rows: { dtype: DataType; op: ReduceOpName; GBs: number; copyGBs: number; share: number }[];
  /** GPUs: the f32 sum against what it could be. */
  fold?: GpuFoldRow;
}

const ROW_HEIGHT = 18;
const LABEL_WIDTH = 130;
const PLOT_WIDTH = 620;
const VALUE_WIDTH = 130;

/** The whole page. */
export function kernelsPage(devices: readonly DeviceRates[]): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>webccl bench kernels</title>
<style>
  :root { color-scheme: light dark; --text: #1b1f24; --quiet: #656d76; --bar: #2f6fd0; --copy: #c2410c; --line: #d0d7de; --page: #fff; }
  @media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --quiet: #9198a1; --bar: #5b9cf5; --copy: #fb923c; --line: #3d444d; --page: #0d1117; } }
  body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
  h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } p { color: var(--quiet); }
  svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
  text { fill: var(--text); } .axis { stroke: var(--line); } .quiet { fill: var(--quiet); }
  .bar { fill: var(--bar); } .copy { stroke: var(--copy); stroke-width: 2; } .key { color: var(--copy); }
</style>
<h1>Reductions, device by device</h1>
<p>Decimal GB/s of bytes read and written, per dtype and operation. The <span class="key">mark</span> is how fast the same device copies; the percentage is the share of it.</p>
${devices.map(section).join("")}</html>
`;
}

function section({ device, yardstick, rows, fold }: DeviceRates): string {
  const most = Math.max(1e-9, ...rows.map(({ GBs, copyGBs }) => Math.max(GBs, copyGBs)));
  const step = tickStep(most);
  const ticks = Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
  const x = (rate: number) => LABEL_WIDTH + (rate / most) * PLOT_WIDTH;
  const height = rows.length * ROW_HEIGHT + 30;
  const grid = ticks.map(
    (tick) =>
      `<line class="axis" x1="${x(tick).toFixed(1)}" x2="${x(tick).toFixed(1)}" y1="18" y2="${height - 8}"/>` +
      `<text class="quiet" x="${x(tick).toFixed(1)}" y="12" text-anchor="middle">${Number(tick.toPrecision(3))}</text>`,
  );
  const bars = rows.map(({ dtype, op, GBs, copyGBs, share }, i) => {
    const top = 22 + i * ROW_HEIGHT;
    const [end, copy] = [x(GBs), x(copyGBs)];
    return (
      `<text x="${LABEL_WIDTH - 8}" y="${top + 11}" text-anchor="end">${dtype} ${op}</text>` +
      `<rect class="bar" x="${LABEL_WIDTH}" y="${top}" width="${(end - LABEL_WIDTH).toFixed(1)}" height="13" rx="2"/>` +
      `<line class="copy" x1="${copy.toFixed(1)}" x2="${copy.toFixed(1)}" y1="${top - 1}" y2="${top + 14}"/>` +
      `<text x="${LABEL_WIDTH + PLOT_WIDTH + 12}" y="${top + 11}">${GBs.toPrecision(3)} · ${Math.round(share * 100)} %</text>`
    );
  });
  const width = LABEL_WIDTH + PLOT_WIDTH + VALUE_WIDTH;
  return `<h2>${escapeHtml(device)}</h2>
<p>GB/s; the mark is ${yardstick}${fold ? foldText(fold) : ""}</p>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Rates of ${escapeHtml(device)}">${grid.join("")}${bars.join("")}</svg>
`;
}

function foldText({ ratio, fourShare }: GpuFoldRow): string {
  return `. The f32 sum has ${Math.round(100 * ratio)} % of the rate of a kernel that only adds two vec4; four inputs in one pass take ${Math.round(100 * fourShare)} % of the time of three passes.`;
}

/** 1, 2 or 5 times a power of ten: some five to ten steps up to `most`. */
function tickStep(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most / 5));
  return [power, 2 * power, 5 * power].find((step) => most / step <= 8) ?? 10 * power;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** The comparison as one HTML file: a plot per collective and number of ranks, and the tables of ratios. */
import { sizeText } from "../sizes.ts";
import type { Comparison, Line } from "./run.ts";

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [760, 420, 64, 44, 16, 240];
const COLORS = ["#1b6ca8", "#2a9d5c", "#d1495b", "#edae49", "#7b4fa3", "#555555"];

/** The page. */
export function htmlReport(comparisons: readonly Comparison[], machine: string, missing: readonly string[]): string {
  const sections = comparisons.map(
    (one) => `<h2>${one.collective}, ${one.ranks} ranks</h2>${plot(one.lines)}${one.lines.map(ratioTable).join("")}`,
  );
  const absent = missing.map((text) => `<p><b>Not here:</b> ${text}</p>`).join("");
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>webccl and its peers</title>
<style>body{font:15px system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse;margin:1rem 0}
td,th{padding:.15rem .7rem;text-align:right;border-bottom:1px solid #ddd}caption{text-align:left;font-weight:600}</style>
<h1>webccl and its peers</h1><p>${machine}. f32 sum; time is the median over runs of the slowest rank's. Programs ran in
alternation; a ratio is the peer's time by webccl's in the same round, above 1 where webccl is faster.</p>
${absent}${sections.join("\n")}</html>
`;
}

/** Size against bandwidth, both logarithmic. */
function plot(lines: readonly Line[]): string {
  const points = lines.flatMap(({ medians }) =>
    medians.map(([bytes, timeUs]) => [bytes, bytes / timeUs / 1000] as const),
  );
  const [minX, maxX] = [Math.min(...points.map(([x]) => x)), Math.max(...points.map(([x]) => x))];
  const minY = 10 ** Math.floor(Math.log10(Math.min(...points.map(([, y]) => y))));
  const maxY = 10 ** Math.ceil(Math.log10(Math.max(...points.map(([, y]) => y))));
  const across = (bytes: number) =>
    LEFT + (Math.log(bytes / minX) / Math.log(maxX / minX || 2)) * (WIDTH - LEFT - RIGHT);
  const down = (rate: number) =>
    HEIGHT - BOTTOM - (Math.log(rate / minY) / Math.log(maxY / minY)) * (HEIGHT - BOTTOM - TOP);

  const grid: string[] = [];
  for (let y = minY; y <= maxY * 1.001; y *= 10) {
    grid.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${down(y)}" y2="${down(y)}" stroke="#ddd"/>`);
    grid.push(`<text x="${LEFT - 6}" y="${down(y) + 4}" text-anchor="end">${Number(y.toPrecision(1))}</text>`);
  }
  for (const [bytes] of lines[0]?.medians ?? []) {
    grid.push(`<text x="${across(bytes)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${sizeText(bytes)}</text>`);
  }
  const curves = lines.map(({ name, medians }, i) => {
    const color = COLORS[i % COLORS.length];
    const path = medians.map(
      ([bytes, timeUs]) => `${across(bytes).toFixed(1)},${down(bytes / timeUs / 1000).toFixed(1)}`,
    );
    const y = TOP + 14 + i * 20;
    return (
      `<polyline points="${path.join(" ")}" fill="none" stroke="${color}" stroke-width="2"/>` +
      `<line x1="${WIDTH - RIGHT + 12}" x2="${WIDTH - RIGHT + 32}" y1="${y}" y2="${y}" stroke="${color}" stroke-width="2"/>` +
      `<text x="${WIDTH - RIGHT + 38}" y="${y + 4}">${name}</text>`
    );
  });
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" font-size="11" role="img" aria-label="bytes against GB/s">
${grid.join("")}${curves.join("")}<text x="${LEFT}" y="${HEIGHT - 8}">bytes → GB/s (bytes / time)</text></svg>`;
}

function ratioTable({ name, ratios }: Line): string {
  return ratios
    .map(({ peer, rows }) => {
      const body = rows
        .map(({ bytes, min, median, max }) => {
          const cells = [sizeText(bytes), ...[min, median, max].map((ratio) => ratio.toFixed(2))];
          return `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
        })
        .join("");
      return `<table><caption>${name} against ${peer}</caption><tr><th>bytes</th><th>min</th><th>median</th><th>max</th></tr>${body}</table>`;
    })
    .join("");
}

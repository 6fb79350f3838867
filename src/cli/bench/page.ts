/** The page of `webccl bench <collective> --html`: bandwidth over size as a plot, and a table with two bars for each size. */
import { linePlot } from "../page/line-plot.ts";
import { type Circumstances, colorOf, escapeHtml, keys, placesOf, reportPage, sizeName } from "../page/report-page.ts";
import type { BenchReport, BenchResult } from "./report.ts";

/** The whole page. */
export function benchPage(reports: readonly BenchReport[], circumstances: Circumstances): string {
  return reportPage({
    title: `webccl bench ${reports.map(({ collective }) => collective).join(", ")}`,
    lead: `A time is that of one call on the slowest rank, over the timed runs. algbw is size over time; busbw is algbw times the share
of the bytes that must cross a link, as nccl-tests has it. Both are of the median time; units are decimal.`,
    circumstances,
    body: reports.map(section).join(""),
  });
}

function section(report: BenchReport): string {
  const { collective, ranks, dtype, op, device, transport, integrity, algorithm, results } = report;
  const what = [dtype, op, `${ranks} ranks`, transport, device, `algorithm ${algorithm}`, `integrity ${integrity}`];
  const wrong = results.reduce((sum, result) => sum + result.wrong, 0);
  const verdict =
    wrong === 0
      ? `<p class="good">✓ every element right on every rank</p>`
      : `<p class="bad">✗ ${wrong} wrong elements</p>`;
  const head = ["Size", "Time, median", "min – p99", "Bandwidth"].map(
    (name, i) => `<th scope="col"${i === 1 || i === 2 ? ' class="number"' : ""}>${name}</th>`,
  );
  return `<section>
<h2>${escapeHtml(collective)}</h2>
<p class="note">${escapeHtml(what.filter((one) => one !== null).join(" · "))}</p>
${verdict}
${pictureOf(report)}<div class="scroll" tabindex="0" role="region" aria-label="Figures of ${escapeHtml(collective)}"><table class="rows">
<thead><tr>${head.join("")}</tr></thead>
<tbody>
${results.map((result) => rowOf(result, ratesOf(report), mostOf(report))).join("\n")}
</tbody>
</table></div>
</section>
`;
}

/** A rate of each result. */
interface Rate {
  readonly name: string;
  of(result: BenchResult): number;
}

/** The two rates; of two ranks whose bytes all cross the link they are one, which would hide the other. */
function ratesOf({ results }: BenchReport): Rate[] {
  const algbw = { name: "algbw", of: ({ algBwGBs }: BenchResult) => algBwGBs };
  const busbw = { name: "busbw", of: ({ busBwGBs }: BenchResult) => busBwGBs };
  const areOne = results.every((result) => algbw.of(result) === busbw.of(result));
  return areOne ? [{ ...algbw, name: "algbw = busbw" }] : [algbw, busbw];
}

function mostOf({ results }: BenchReport): number {
  return Math.max(...results.map(({ algBwGBs, busBwGBs }) => Math.max(algBwGBs, busBwGBs)));
}

function pictureOf(report: BenchReport): string {
  const { collective, results } = report;
  const rates = ratesOf(report);
  const moving = results.filter(({ bytes }) => bytes > 0);
  if (moving.length < 2) return keys(rates.map(({ name }) => name));
  const best = moving.reduce((a, b) => (a.algBwGBs >= b.algBwGBs ? a : b));
  const label = `Bandwidth of ${collective} over size; the best algbw is ${rateText(best.algBwGBs)} at ${sizeName(best.bytes)}`;
  return linePlot(
    label,
    rates.map(({ name, of }) => ({ name, points: moving.map((result) => [result.bytes, of(result)] as const) })),
  );
}

function rowOf(result: BenchResult, rates: readonly Rate[], most: number): string {
  const { bytes, timeUs } = result;
  const bar = (rate: number, i: number) =>
    `<i style="--color: ${colorOf(i)}; --share: ${((100 * rate) / (most || 1)).toFixed(1)}%"></i>`;
  const time = `<td class="number">${timeText(timeUs.median)}</td><td class="number">${timeText(timeUs.min)} – ${timeText(timeUs.p99)}</td>`;
  const shown = rates.map(({ of }) => of(result));
  const bars = `<span>${shown.map(rateText).join(" · ")}</span>${shown.map(bar).join("")}`;
  return `<tr><th scope="row">${sizeName(bytes)}</th>${time}<td class="bar">${bytes > 0 ? bars : "–"}</td></tr>`;
}

/** "1.25 GB/s", "12 MB/s", "28.8 kB/s", of decimal GB/s. */
function rateText(rate: number): string {
  if (rate >= 1) return `${placesOf(rate)} GB/s`;
  return rate >= 0.001 ? `${placesOf(rate * 1e3)} MB/s` : `${placesOf(rate * 1e6)} kB/s`;
}

/** "84 µs", "12.3 ms". */
function timeText(us: number): string {
  return us < 1000 ? `${placesOf(us)} µs` : `${placesOf(us / 1000)} ms`;
}

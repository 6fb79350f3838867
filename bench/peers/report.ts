/** The comparison as one HTML file: a plot per collective and number of ranks, and the tables of ratios. */
import { linePlot } from "../../src/cli/page/line-plot.ts";
import { type Circumstances, escapeHtml, reportPage, sizeName } from "../../src/cli/page/report-page.ts";
import type { Comparison, Line } from "./run.ts";

/** The page. */
export function htmlReport(
  comparisons: readonly Comparison[],
  circumstances: Circumstances,
  missing: readonly string[],
): string {
  const absent = missing.map((text) => `<li>${escapeHtml(text)}</li>`).join("");
  return reportPage({
    title: "webccl and its peers",
    lead: `f32 sum; a time is the median over runs of the slowest rank's, a rate the bytes of the tensor over it. Programs ran in
alternation; a ratio is the peer's time by webccl's in the same round, above 1 where webccl is faster.`,
    circumstances,
    body: `${absent ? `<section><h2>Not here</h2><ul>${absent}</ul></section>\n` : ""}${comparisons.map(section).join("")}`,
  });
}

function section({ collective, ranks, lines }: Comparison): string {
  const plotted = lines.map(({ name, medians }) => ({
    name,
    points: medians.map(([bytes, timeUs]) => [bytes, bytes / timeUs / 1000] as const),
  }));
  const title = `${escapeHtml(collective)}, ${ranks} ranks`;
  return `<section>
<h2>${title}</h2>
${linePlot(`Rates of ${collective} over size, for ${lines.map(({ name }) => name).join(", ")}`, plotted)}${lines.map((line) => ratioTables(line, title)).join("")}</section>
`;
}

function ratioTables({ name, ratios }: Line, title: string): string {
  return ratios
    .map(({ peer, rows }) => {
      const body = rows.map(({ bytes, min, median, max }) => {
        const cells = [min, median, max].map((ratio) => {
          const kind = ratio >= 1 ? "number good" : "number";
          return `<td class="${kind}">${ratio.toFixed(2)}</td>`;
        });
        return `<tr><th scope="row">${sizeName(bytes)}</th>${cells.join("")}</tr>`;
      });
      const head = ["min", "median", "max"].map((one) => `<th scope="col" class="number">${one}</th>`);
      return `<h3>${escapeHtml(name)} against ${escapeHtml(peer)}</h3>
<div class="scroll" tabindex="0" role="region" aria-label="${title}: ${escapeHtml(name)} against ${escapeHtml(peer)}"><table>
<thead><tr><th scope="col">Size</th>${head.join("")}</tr></thead>
<tbody>${body.join("")}</tbody>
</table></div>`;
    })
    .join("\n");
}

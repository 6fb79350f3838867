/** The page of `webccl bench kernels --html`: for each device one row a dtype, with a bar for each operation beside the device's copy. */
import type { ReduceOpName } from "../../reduce-op.ts";
import type { DataType } from "../../types.ts";
import { type Circumstances, escapeHtml, placesOf, reportPage } from "../page/report-page.ts";
import type { GpuFoldRow } from "./bench-gpu-kernels.ts";

/** The rates of one device, in decimal GB/s of bytes read and written. */
export interface DeviceRates {
  device: string;
  /** The copy that rates are compared with. */
  yardstick: string;
  rows: { dtype: DataType; op: ReduceOpName; GBs: number; copyGBs: number; share: number }[];
  /** GPUs: the f32 sum against what it could be. */
  fold?: GpuFoldRow;
}

/** The whole page. */
export function kernelsPage(devices: readonly DeviceRates[], circumstances: Circumstances): string {
  return reportPage({
    title: "Reductions, device by device",
    lead: "Decimal GB/s of bytes read and written, the best of several runs. One row has the operations of one element type.",
    circumstances,
    body: `${devices.map(section).join("")}${SHARES}`,
  });
}

const SHARES = `<section>
<h2>The line, and shares above 100 %</h2>
<p>The orange line is how fast the same device copies as many bytes as an operation touches, measured in turns with it; the percentage
is the operation's share of that. A rate counts the bytes that the program reads and writes. The memory moves more: before a processor
writes a line of memory, its cache fetches that line. A copy so moves three bytes for two that count, a sum of two tensors four
for three, and an operation in place none beside those that count. As fast as memory allows, a sum therefore has up to 112 %
of a copy, and an operation in place up to 150 %. Tensors that fit the caches have no such limit, and other work of the machine
moves all figures: <code>-b 96M</code> measures the memory.</p>
</section>
`;

function section({ device, yardstick, rows, fold }: DeviceRates): string {
  const most = Math.max(1e-9, ...rows.map(({ GBs, copyGBs }) => Math.max(GBs, copyGBs)));
  const ops = [...new Set(rows.map(({ op }) => op))];
  const dtypes = [...new Set(rows.map(({ dtype }) => dtype))];
  const height = (rate: number) => `--share: ${((100 * rate) / most).toFixed(1)}%`;
  const cellOf = (dtype: DataType, op: ReduceOpName) => {
    const row = rows.find((one) => one.dtype === dtype && one.op === op);
    if (!row) return `<td aria-label="none"></td>`;
    const bars = `<div class="column"><i style="${height(row.GBs)}"></i><b style="${height(row.copyGBs)}"></b></div>`;
    return `<td>${bars}${placesOf(row.GBs)}<span class="share">${Math.round(100 * row.share)} %</span></td>`;
  };
  const body = dtypes.map((dtype) => {
    const copies = rows.filter((row) => row.dtype === dtype).map(({ copyGBs }) => copyGBs);
    const range = [...new Set([Math.min(...copies), Math.max(...copies)].map(placesOf))].join("–");
    return `<tr><th scope="row">${dtype}</th>${ops.map((op) => cellOf(dtype, op)).join("")}<td class="copy">${range}</td></tr>`;
  });
  const head = ["", ...ops, "copy"].map((name) => (name ? `<th scope="col">${name}</th>` : "<td></td>"));
  return `<section>
<h2>${escapeHtml(device)}</h2>
<p class="note">GB/s and share of ${escapeHtml(yardstick)}${fold ? foldText(fold) : ""}.</p>
<ul class="keys"><li style="--color: var(--accent)">operation</li><li class="mark">${escapeHtml(yardstick)}</li></ul>
<div class="scroll" tabindex="0" role="region" aria-label="Rates of ${escapeHtml(device)}"><table class="columns">
<thead><tr>${head.join("")}</tr></thead>
<tbody>
${body.join("\n")}
</tbody>
</table></div>
</section>
`;
}

function foldText({ ratio, fourShare }: GpuFoldRow): string {
  return `; the f32 sum has ${Math.round(100 * ratio)} % of the rate of a kernel that only adds two vec4, and four inputs in one pass take ${Math.round(100 * fourShare)} % of the time of three passes`;
}

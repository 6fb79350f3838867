/** The page: the orders that its tabs give to the group of a round, and their display. */
import type { ProcessGroup } from "../src/group/process-group.ts";
import { Attendance } from "./attendance.ts";
import { drawChart, formatBytes, formatMs, formatRate } from "./chart.ts";
import { type Device, describeDevice } from "./device.ts";
import { byId, cell, rankCell, status } from "./display.ts";
import { DEMO_COLLECTIVES, type Measured, measure, type Order } from "./measure.ts";

const button = byId<HTMLButtonElement>("run");
let devices: readonly Device[] = [];
let orders = 0;
let showChart = () => {};

const attendance = new Attendance<Device>({
  command: "webccl demo",
  timeoutMs: 10_000,
  describe: describeDevice,
  onRound: (_round, described) => {
    button.disabled = true;
    devices = described;
    showRanks();
  },
  work: takeOrders,
  onLeft: (rank) => {
    showRanks();
    button.disabled = true;
    attendance.offerToGoOn(`Rank ${rank} (${devices[rank]?.browser ?? "a tab"}) has left; its group has ended.`);
  },
  onClosed: () => {
    button.disabled = true;
  },
});

async function takeOrders(group: ProcessGroup): Promise<void> {
  const alone = group.size === 1;
  const ready = alone ? "One rank, this tab. Open the page in another tab to have two." : `${group.size} ranks, ready.`;
  status(ready, "ready");
  button.disabled = false;
  for (orders = 0; ; orders++) {
    const ordered = attendance.lobby.ordered<Order>(attendance.round.number, orders);
    const order = await Promise.race([ordered, attendance.superseded()]);
    if (attendance.isSuperseded()) return;
    await perform(group, order as Order);
  }
}

async function perform(current: ProcessGroup, order: Order): Promise<void> {
  button.disabled = true;
  const what = `${order.collective} of ${order.dtype}${order.collective.includes("reduce") ? `, ${order.op}` : ""}`;
  status(`Running ${what}, asked for by rank ${attendance.round.tabs.indexOf(order.by)}…`, "running");
  byId("verdict").textContent = "Running…";
  byId("verdict").className = "";
  byId("rows").replaceChildren();
  byId("chart").hidden = false;
  byId("measurements").hidden = false;
  const measured: Measured[] = [];
  try {
    const onSize = (one: Measured) => {
      measured.push(one);
      showChart = () => drawChart(byId("plot"), measured, order.maxBytes);
      showChart();
      byId("rows").append(measurementRow(one));
    };
    await measure(current, order, onSize, () => attendance.isSuperseded());
    const wrong = measured.reduce((sum, one) => sum + one.wrong, 0);
    byId("verdict").className = wrong === 0 ? "good" : "bad";
    byId("verdict").textContent =
      wrong === 0
        ? `✓ ${what} (${order.memory}): every element right on every rank.`
        : `✗ ${what}: ${wrong} wrong elements.`;
    status(`${current.size} ranks, ready.`, "ready");
    button.disabled = false;
  } catch (error) {
    byId("verdict").className = "bad";
    byId("verdict").textContent = `✗ ${(error as Error).message}`;
    const anyLeft = attendance.round.tabs.some((tab) => attendance.lobby.isGone(tab));
    if (!anyLeft) attendance.offerToGoOn("The group has ended.");
  }
}

function showRanks(): void {
  const { round, lobby } = attendance;
  const rows = round.tabs.map((tab, rank) => {
    const device = devices[rank]!;
    const row = document.createElement("tr");
    if (lobby.isGone(tab)) row.className = "gone";
    const place = cell(device.browser, "td", "wide");
    const gpu = document.createElement("span");
    gpu.className = "gpu";
    gpu.textContent = device.hasGpu ? device.gpu : "no GPU";
    place.append(gpu);
    row.append(rankCell(rank, tab === lobby.tab), place);
    row.append(cell(formatMs(device.roundTripMs), "td", "number"), cell(formatRate(device.kernelGBs), "td", "number"));
    return row;
  });
  byId("ranks").replaceChildren(...rows);
  const mine = devices[round.tabs.indexOf(lobby.tab)]!;
  byId("gpu-note").hidden = mine.hasGpu;
  byId("gpu-note").textContent = isSecureContext
    ? "This browser offers no WebGPU, so this rank computes on the cpu."
    : "Browsers give WebGPU to pages from https or localhost only, so this rank computes on the cpu. For https, start the demo with --cert and --key.";
  const everyGpu = devices.every(({ hasGpu }) => hasGpu);
  const gpu = byId("device").querySelector<HTMLOptionElement>('[value="webgpu"]')!;
  gpu.disabled = !everyGpu;
  gpu.textContent = everyGpu ? "GPU (WebGPU)" : "GPU (not on all ranks)";
  if (!everyGpu) byId<HTMLSelectElement>("device").value = "cpu";
  adjustForm();
}

function measurementRow({ bytes, timeMs, algBwGBs, busBwGBs, wrong }: Measured): HTMLTableRowElement {
  const row = document.createElement("tr");
  const size = cell(formatBytes(bytes), "th", "number");
  size.scope = "row";
  const rates = [formatMs(timeMs), formatRate(algBwGBs), formatRate(busBwGBs)].map((text) =>
    cell(text, "td", "number"),
  );
  row.append(size, ...rates, cell(String(wrong), "td", wrong === 0 ? "number good" : "number bad"));
  return row;
}

const SIZES = [64 * 1024, 1024 ** 2, 4 * 1024 ** 2, 16 * 1024 ** 2];
const OPTIONS: Readonly<Record<string, readonly (readonly [value: string, label: string])[]>> = {
  collective: DEMO_COLLECTIVES.map((name) => [name, name.replaceAll("_", " ")]),
  op: ["sum", "min", "max"].map((name) => [name, name]),
  dtype: ["f32", "i32", "u32", "f64", "i64", "u8"].map((name) => [name, name]),
  size: SIZES.map((bytes) => [String(bytes), formatBytes(bytes)]),
  device: [
    ["cpu", "cpu"],
    ["webgpu", "GPU (WebGPU)"],
  ],
};
const GPU_TYPES = ["f32", "i32", "u32"];

/** Disables choices that do not go together. */
function adjustForm(): void {
  const value = (id: string) => byId<HTMLSelectElement>(id).value;
  byId<HTMLSelectElement>("op").disabled = !value("collective").includes("reduce");
  const onGpu = value("device") === "webgpu";
  for (const option of byId<HTMLSelectElement>("dtype").options) {
    option.disabled = onGpu && !GPU_TYPES.includes(option.value);
    if (option.disabled && option.selected) byId<HTMLSelectElement>("dtype").value = "f32";
  }
}

for (const [id, options] of Object.entries(OPTIONS)) {
  byId<HTMLSelectElement>(id).append(...options.map(([value, label]) => new Option(label, value)));
  byId(id).addEventListener("change", adjustForm);
}
byId<HTMLSelectElement>("size").value = String(SIZES[1]);
byId("run-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const value = (id: string) => byId<HTMLSelectElement>(id).value;
  const order = {
    ...{ collective: value("collective"), op: value("op"), dtype: value("dtype"), memory: value("device") },
    ...{ maxBytes: Number(value("size")), by: attendance.lobby.tab },
  } as Order;
  void attendance.lobby.order(attendance.round.number, orders, order);
});
new ResizeObserver(() => showChart()).observe(byId("plot"));
void attendance.enter();

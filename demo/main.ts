/** The page: the orders that its tabs give to the group of a round, and their display. */
import type { ProcessGroup } from "../src/group/process-group.ts";
import { Attendance } from "./attendance.ts";
import { LineChart } from "./chart.ts";
import { type Device, describeDevice } from "./device.ts";
import { byId, cell, explainColumns, rankCell, setText, status } from "./display.ts";
import { formatBytes, formatMs, formatRate } from "./format.ts";
import { DEMO_COLLECTIVES, type Measured, measure, type Order } from "./measure.ts";
import { programText } from "./program-text.ts";

const button = byId<HTMLButtonElement>("run");
const hubAddress = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
let devices: readonly Device[] = [];
let orders = 0;

const chart = new LineChart(byId("plot"), {
  x: { name: "Size", format: formatBytes },
  y: { format: formatRate, startsAtZero: true },
  lines: [
    { name: "algbw", color: "--accent" },
    { name: "busbw", color: "--second" },
  ],
  isLog: true,
});

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
  status(readyText(group.size), "ready");
  showNext(group.size);
  button.disabled = false;
  for (orders = 0; ; orders++) {
    const ordered = attendance.lobby.ordered<Order>(attendance.round.number, orders);
    const order = await Promise.race([ordered, attendance.superseded()]);
    if (attendance.isSuperseded()) return;
    await perform(group, order as Order);
  }
}

const readyText = (size: number) =>
  size === 1 ? "One rank, this tab. Open the page in another tab to have two." : `${size} ranks, ready.`;

/** Where nothing has run: the next thing to do. */
function showNext(size: number): void {
  if (!byId("result").hidden) return;
  const first =
    size === 1
      ? "Open this page in a second tab, or more, so that the ranks have something to exchange. Then choose"
      : "Choose";
  setText(
    "next",
    `${first} a collective and press “Run on all ranks”, in any tab: every rank calls it on tensors from 1 KiB up, checks each element, and the bandwidth is drawn here.`,
  );
}

async function perform(current: ProcessGroup, order: Order): Promise<void> {
  button.disabled = true;
  const what = `${order.collective} of ${order.dtype}${order.collective.includes("reduce") ? `, ${order.op}` : ""}`;
  status(`Running ${what}, asked for by rank ${attendance.round.tabs.indexOf(order.by)}…`, "running");
  setText("verdict", "Running…");
  setText("next", "");
  byId("verdict").className = "";
  byId("rows").replaceChildren();
  byId("result").hidden = false;
  const measured: Measured[] = [];
  try {
    const onSize = (one: Measured) => {
      measured.push(one);
      showChart(measured);
      byId("rows").append(measurementRow(one));
    };
    await measure(current, order, onSize, () => attendance.isSuperseded());
    const wrong = measured.reduce((sum, one) => sum + one.wrong, 0);
    byId("verdict").className = wrong === 0 ? "good" : "bad";
    byId("verdict").textContent =
      wrong === 0
        ? `✓ ${what} (${order.memory}): every element right on every rank.`
        : `✗ ${what}: ${wrong} wrong elements.`;
    setText("next", bestText(measured));
    status(readyText(current.size), "ready");
    button.disabled = false;
  } catch (error) {
    byId("verdict").className = "bad";
    byId("verdict").textContent = `✗ ${(error as Error).message}`;
    const anyLeft = attendance.round.tabs.some((tab) => attendance.lobby.isGone(tab));
    if (!anyLeft) attendance.offerToGoOn("The group has ended.");
  }
}

const bestOf = (measured: readonly Measured[]) => measured.reduce((a, b) => (a.algBwGBs >= b.algBwGBs ? a : b));

function bestText(measured: readonly Measured[]): string {
  const { bytes, algBwGBs, busBwGBs } = bestOf(measured);
  return `Fastest at ${formatBytes(bytes)}: ${formatRate(algBwGBs)} algbw, ${formatRate(busBwGBs)} busbw.`;
}

function showChart(measured: readonly Measured[]): void {
  const best = bestOf(measured);
  const words = `algbw and busbw over ${measured.length} sizes; the best algbw is ${formatRate(best.algBwGBs)} at ${formatBytes(best.bytes)}`;
  const [sizes, algbw, busbw] = [
    measured.map(({ bytes }) => bytes),
    measured.map((one) => one.algBwGBs),
    measured.map((one) => one.busBwGBs),
  ];
  chart.show([sizes, algbw, busbw], words);
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

const value = (id: string) => byId<HTMLSelectElement>(id).value;

/** The run that the form describes. */
const chosen = () =>
  ({
    ...{ collective: value("collective"), op: value("op"), dtype: value("dtype"), memory: value("device") },
    maxBytes: Number(value("size")),
  }) as Omit<Order, "by">;

/** Disables choices that do not go together, and shows the program of the others. */
function adjustForm(): void {
  byId<HTMLSelectElement>("op").disabled = !value("collective").includes("reduce");
  const onGpu = value("device") === "webgpu";
  for (const option of byId<HTMLSelectElement>("dtype").options) {
    option.disabled = onGpu && !GPU_TYPES.includes(option.value);
    if (option.disabled && option.selected) byId<HTMLSelectElement>("dtype").value = "f32";
  }
  setText("program", programText(chosen(), hubAddress, Math.max(1, devices.length)));
}

for (const [id, options] of Object.entries(OPTIONS)) {
  byId<HTMLSelectElement>(id).append(...options.map(([value, label]) => new Option(label, value)));
  byId(id).addEventListener("change", adjustForm);
}
byId<HTMLSelectElement>("size").value = String(SIZES[1]);
byId("run-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const order: Order = { ...chosen(), by: attendance.lobby.tab };
  void attendance.lobby.order(attendance.round.number, orders, order);
});
explainColumns();
adjustForm();
void attendance.enter();

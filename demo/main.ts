/** The page: this tab's way through the lobby's rounds, and their display. */
import { initProcessGroup } from "../src/browser/index.ts";
import { WebcclError } from "../src/errors.ts";
import type { ProcessGroup } from "../src/group/process-group.ts";
import { drawChart, formatBytes, formatMs, formatRate } from "./chart.ts";
import { type Device, describeDevice } from "./device.ts";
import { showJoin } from "./join.ts";
import { Lobby, type Round } from "./lobby.ts";
import { DEMO_COLLECTIVES, type Measured, measure, type Order } from "./measure.ts";

const byId = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const GROUP_MS = 10_000;
/** Time for other newcomers to be in the same round. */
const SETTLE_MS = 250;
const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;

let token: string | undefined;
let lobby: Lobby;
let round: Round | null = null;
let group: ProcessGroup | null = null;
let devices: Device[] = [];
let running = false;
let orders = 0;
/** The tabs have agreed on a later round. */
let superseded = false;
let showChart = () => {};

function notice(text: string | null, goOn: string | null = null): void {
  byId("notice").hidden = text === null;
  byId("notice-text").textContent = text;
  byId("go-on").hidden = goOn === null;
  byId("go-on").textContent = goOn;
  byId("token-form").hidden = true;
}

type State = "joining" | "ready" | "running" | "ended";

function status(text: string, state: State): void {
  byId("status").textContent = text;
  byId("status").dataset.state = state;
}

/** Joins the lobby, or shows the obstacle. */
async function enter(): Promise<void> {
  notice(null);
  try {
    lobby = await Lobby.enter(address, token);
  } catch (error) {
    const refused = error instanceof WebcclError && error.code === "ADMISSION";
    status("Not joined.", "ended");
    if (refused && /token/.test((error as Error).message)) {
      notice(token === undefined ? "This hub asks for a token." : "That is not this hub's token. Try again.");
      byId("token-form").hidden = false;
      byId("token").focus();
    } else {
      notice(`${(error as Error).message}. Reload the page when the hub is running (webccl demo).`);
    }
    return;
  }
  lobby.onLeft = onTabLeft;
  lobby.onClosed = () => {
    byId<HTMLButtonElement>("run").disabled = true;
    status("Not connected.", "ended");
    notice("The hub is gone. Start it again (webccl demo), then reload this page.");
  };
  status("Measuring this device…", "joining");
  const next = await lobby.introduce(await describeDevice(() => lobby.ping()));
  setTimeout(() => void lobby.propose(next), SETTLE_MS);
  await follow(next);
}

/** Lives through one round after the other. */
async function follow(first: number): Promise<void> {
  for (let number = first; ; number++) {
    const agreed = await lobby.round(number);
    if (!agreed.tabs.includes(lobby.tab)) {
      // Agreed on before this tab was known: the next one will have it.
      void lobby.propose(number + 1);
      continue;
    }
    superseded = false;
    round = agreed;
    devices = await lobby.devices(agreed.tabs);
    showRanks();
    const next = lobby.round(number + 1).then(() => {
      superseded = true;
    });
    if (await join(agreed)) {
      await Promise.race([takeOrders(agreed), next]);
    }
    await next;
    while (running) await new Promise((resolve) => setTimeout(resolve, 20));
    await group?.destroy().catch(() => {});
    group = null;
  }
}

async function join({ number, tabs }: Round): Promise<boolean> {
  byId<HTMLButtonElement>("run").disabled = true;
  status(tabs.length === 1 ? "Joining…" : `Joining ${tabs.length - 1} others…`, "joining");
  try {
    group = await initProcessGroup({
      initMethod: `${address}/demo-${number}`,
      ...{ rank: tabs.indexOf(lobby.tab), worldSize: tabs.length, timeoutMs: GROUP_MS },
      ...(token === undefined ? {} : { token }),
    });
  } catch (error) {
    if (!superseded) offerToGoOn(`The group did not come together: ${(error as Error).message}`);
    return false;
  }
  const alone = tabs.length === 1;
  const ready = alone
    ? "One rank, this tab. Open the page in another tab to have two."
    : `${tabs.length} ranks, ready.`;
  status(ready, "ready");
  notice(null);
  byId<HTMLButtonElement>("run").disabled = false;
  return true;
}

async function takeOrders({ number }: Round): Promise<void> {
  for (orders = 0; ; orders++) {
    const order = await lobby.ordered<Order>(number, orders);
    if (superseded || !group) return;
    running = true;
    await perform(group, order);
    running = false;
  }
}

async function perform(current: ProcessGroup, order: Order): Promise<void> {
  const button = byId<HTMLButtonElement>("run");
  button.disabled = true;
  const what = `${order.collective} of ${order.dtype}${order.collective.includes("reduce") ? `, ${order.op}` : ""}`;
  status(`Running ${what}, asked for by rank ${round!.tabs.indexOf(order.by)}…`, "running");
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
    await measure(current, order, onSize, () => superseded);
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
    const anyLeft = round!.tabs.some((tab) => lobby.isGone(tab));
    if (!anyLeft) offerToGoOn("The group has ended.");
  }
}

function onTabLeft(tab: number): void {
  const rank = round?.tabs.indexOf(tab) ?? -1;
  if (rank < 0) return;
  showRanks();
  byId<HTMLButtonElement>("run").disabled = true;
  offerToGoOn(`Rank ${rank} (${devices[rank]?.browser ?? "a tab"}) has left; its group has ended.`);
}

function offerToGoOn(text: string): void {
  const left = round!.tabs.filter((tab) => !lobby.isGone(tab)).length;
  status("The group has ended.", "ended");
  notice(text, left === 1 ? "Go on with 1 rank" : `Go on with ${left} ranks`);
}

function showRanks(): void {
  const rows = round!.tabs.map((tab, rank) => {
    const device = devices[rank]!;
    const row = document.createElement("tr");
    if (lobby.isGone(tab)) row.className = "gone";
    const number = cell(String(rank), "th");
    number.scope = "row";
    if (tab === lobby.tab) {
      const you = document.createElement("span");
      you.className = "you";
      you.textContent = "you";
      number.append(you);
    }
    const place = cell(device.browser, "td", "wide");
    const gpu = document.createElement("span");
    gpu.className = "gpu";
    gpu.textContent = device.hasGpu ? device.gpu : "no GPU";
    place.append(gpu);
    row.append(number, place);
    row.append(cell(formatMs(device.roundTripMs), "td", "number"), cell(formatRate(device.kernelGBs), "td", "number"));
    return row;
  });
  byId("ranks").replaceChildren(...rows);
  const mine = devices[round!.tabs.indexOf(lobby.tab)]!;
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

function cell(text: string, tag: "td" | "th" = "td", className = ""): HTMLTableCellElement {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = className;
  return node;
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
    ...{ maxBytes: Number(value("size")), by: lobby.tab },
  } as Order;
  void lobby.order(round!.number, orders, order);
});
byId("go-on").addEventListener("click", () => {
  notice(null);
  void lobby.propose(round!.number + 1);
});
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId<HTMLInputElement>("token").value;
  void enter();
});
new ResizeObserver(() => showChart()).observe(byId("plot"));
void showJoin(byId);
void enter();

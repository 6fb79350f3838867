/** The page of `webccl trace --live`: asks the command for the state of the job twice a second, and shows it. */
import type { LiveLink, LiveRank, LiveState } from "../../src/cli/trace/live-state.ts";
import { cell, explainColumns, setText } from "../display.ts";
import { formatBytes } from "../format.ts";
import { drawPicture } from "./picture.ts";

const PERIOD_MS = 500;

const byId = (id: string) => document.getElementById(id)!;

function show(state: LiveState): void {
  const { sentence, isStalled, trouble, ranks, links, culprits } = state;
  byId("verdict").dataset.state = sentence === null ? "none" : isStalled ? "stalled" : "well";
  setText("sentence", sentence ?? "Waiting for the first rank to answer…");
  byId("trouble").hidden = trouble === null || sentence !== null;
  setText("trouble", trouble === null ? "" : `No answer: ${trouble}`);
  byId("picture").replaceChildren(drawPicture(state));
  fill(
    "ranks",
    ranks.map((rank) => rankRow(rank, culprits.includes(rank.rank))),
    "No rank has answered yet.",
  );
  fill("links", links.map(linkRow), "No rank has received a message yet.");
  for (const section of document.querySelectorAll<HTMLElement>("[data-needs-ranks]")) section.hidden = state.size === 0;
}

/** The rows of a table, or one that says why there is none. */
function fill(id: string, rows: readonly HTMLTableRowElement[], none: string): void {
  const row = document.createElement("tr");
  const only = cell(none, "td", "wide");
  only.colSpan = 4;
  row.append(only);
  byId(id).replaceChildren(...(rows.length > 0 ? rows : [row]));
}

function rankRow(one: LiveRank, isCulprit: boolean): HTMLTableRowElement {
  const row = document.createElement("tr");
  row.className = isCulprit ? "culprit" : "";
  const name = cell(String(one.rank), "th");
  name.setAttribute("scope", "row");
  const runtime = document.createElement("span");
  runtime.className = "runtime";
  runtime.textContent = one.runtime;
  name.append(runtime);
  const call = one.silentMs !== null ? "does not answer" : one.isRunning ? `in ${one.call}` : `after ${one.call}`;
  row.append(
    name,
    cell(call, "td", "wide"),
    cell(formatTime(one.silentMs ?? one.sinceMs), "td", "number"),
    cell(formatBytes(one.memoryBytes), "td", "number"),
  );
  return row;
}

function linkRow({ from, to, bytes, bytesPerSecond, waitedMs }: LiveLink): HTMLTableRowElement {
  const row = document.createElement("tr");
  row.append(
    cell(`${from} → ${to}`),
    cell(`${formatBytes(Math.round(bytesPerSecond))}/s`, "td", "number"),
    cell(formatBytes(bytes), "td", "number"),
    cell(formatTime(waitedMs), "td", "number"),
  );
  return row;
}

function formatTime(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

async function ask(): Promise<void> {
  try {
    const response = await fetch("./state.json");
    show(await response.json());
  } catch {
    byId("verdict").dataset.state = "none";
    setText("sentence", "The command has ended: start webccl trace --live again, and reload this page.");
  } finally {
    setTimeout(ask, PERIOD_MS);
  }
}

explainColumns();
void ask();

/** A report as a page: one HTML file that needs nothing else, in the look of the demo, with the circumstances in its head. */
import { readFileSync } from "node:fs";

/** How a report came to be. */
export interface Circumstances {
  machine: string;
  runtime: string;
  /** Of webccl. */
  version: string;
  date: string;
  command: string;
}

/** What a page says. */
export interface Report {
  title: string;
  /** What is measured, and how to read it. HTML. */
  lead: string;
  circumstances: Circumstances;
  /** Sections: HTML. */
  body: string;
}

/** Colours of lines and bars that are compared, for light and dark grounds. */
const COLORS = [
  ["#0b5fc4", "#7db8ff"],
  ["#b45309", "#f5b35c"],
  ["#14702f", "#6fdc8c"],
  ["#b3261e", "#ff9d94"],
  ["#7b3fa3", "#cfa3f2"],
  ["#4f5d6e", "#a6b3c3"],
  ["#0e7490", "#67d5ea"],
  ["#9d174d", "#f79ac0"],
] as const;

/** The colour of the i-th of several things, as a CSS value. */
export const colorOf = (i: number): string => `var(--color-${i % COLORS.length})`;

/** The whole page. */
export function reportPage({ title, lead, circumstances, body }: Report): string {
  const { machine, runtime, version, date, command } = circumstances;
  const facts = [
    ["Machine", machine],
    ["Runtime", runtime],
    ["webccl", version],
    ["Date", date],
  ].map(([name = "", value = ""]) => `<div><dt>${name}</dt><dd>${escapeHtml(value)}</dd></div>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<style>
${style("look.css")}${style("report.css")}${colors(0)}
@media (prefers-color-scheme: dark) { ${colors(1)} }
</style>
</head>
<body>
<header>
<h1>${escapeHtml(title)}</h1>
<p>${lead}</p>
<dl class="facts">${facts.join("")}<div><dt>Command</dt><dd><code>${escapeHtml(command)}</code></dd></div></dl>
</header>
<main>
${body}</main>
</body>
</html>
`;
}

const style = (file: string) => readFileSync(new URL(file, import.meta.url), "utf8");

const colors = (theme: 0 | 1) => `:root { ${COLORS.map((pair, i) => `--color-${i}: ${pair[theme]};`).join(" ")} }`;

/** `text` as text of a page, or between quotation marks. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** What the colours of a picture stand for. */
export function keys(names: readonly string[]): string {
  const items = names.map((name, i) => `<li style="--color: ${colorOf(i)}">${escapeHtml(name)}</li>`);
  return `<ul class="keys">${items.join("")}</ul>`;
}

/** Bytes, in powers of 1024: "64 B", "4 KiB", "1.5 MiB". */
export function sizeName(bytes: number): string {
  const unit = bytes >= 2 ** 30 ? 3 : bytes >= 2 ** 20 ? 2 : bytes >= 2 ** 10 ? 1 : 0;
  return `${Number((bytes / 1024 ** unit).toFixed(1))} ${["B", "KiB", "MiB", "GiB"][unit]}`;
}

/** Three places: "0.042", "1.25", "340". */
export function placesOf(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

/**
 * Puts what each installed browser has into docs/support.md: `npm run build:support`, by the page of `webccl info --browsers`. A
 * test of the engines makes the table anew and compares.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { type BrowserReport, factNotes, factRows } from "../src/cli/info/browser-facts.ts";
import { reportsOf } from "../src/cli/info/browsers.ts";
import { installedBrowsers } from "../src/cli/info/installed-browsers.ts";
import { build, isBuilt } from "./build.ts";
import { takesNoWords } from "./command-line.ts";

const PAGE = new URL("../docs/support.md", import.meta.url);
const [BEGIN, END] = ["<!-- begin: npm run build:support -->", "<!-- end -->"];

/** The part of the page that is made: a table, and the reasons below it. */
export function supportTable(reports: readonly BrowserReport[]): string {
  const head = ["", ...reports.map(({ browser }) => browser)];
  const rows = [head, ...factRows(reports)];
  const widths = head.map((_, i) => Math.max(...rows.map((cells) => cells[i]!.length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  const notes = reports.flatMap((report) => [
    `- **${report.browser}**${report.settings === null ? "" : `, opened with \`${report.settings}\``}`,
    ...factNotes(report).map((note) => `  - ${note}`),
  ]);
  const rule = line(widths.map((width) => "-".repeat(width)));
  return [line(head), rule, ...factRows(reports).map(line), "", ...notes].join("\n");
}

/** The part that the page has. */
export function writtenTable(): string {
  const text = readFileSync(PAGE, "utf8");
  return text.slice(text.indexOf(BEGIN) + BEGIN.length, text.indexOf(END)).trim();
}

if (pathToFileURL(process.argv[1] ?? "").href === import.meta.url) {
  takesNoWords("npm run build:support: writes the table of docs/support.md, from the browsers that are installed");
  if (!isBuilt()) await build();
  const { reports, silent } = await reportsOf(installedBrowsers());
  if (silent.length > 0) throw new Error(silent.map(({ browser, reason }) => `${browser}: ${reason}`).join("\n"));
  const text = readFileSync(PAGE, "utf8");
  const [before, after] = [text.slice(0, text.indexOf(BEGIN) + BEGIN.length), text.slice(text.indexOf(END))];
  writeFileSync(PAGE, `${before}\n\n${supportTable(reports)}\n\n${after}`);
}

/** How a scenario's result is printed. */
import { isKept, type Result } from "./run-scenario.ts";

/** Most broken promises that are told of one scenario; the file has all. */
const TOLD = 10;

/** A line, and below it each way in which the promise was broken. */
export function lineOf(result: Result): string {
  const { id, title, injected, survived, medianMs, worstMs, samples, limitMs, medianLimitMs, wrong, broken } = result;
  const targets = [
    medianLimitMs === null ? "" : `median ${medianLimitMs}`,
    Number.isFinite(limitMs) ? `${limitMs}` : "",
  ];
  const target = targets.filter((text) => text !== "").join(", worst ");
  const times =
    medianMs === null || worstMs === null
      ? ""
      : `; median ${Math.round(medianMs)} ms, worst ${Math.round(worstMs)} ms of ${samples} (target ${target} ms)`;
  const figures = Object.entries(result.figures).map(([name, value]) => `\n     ${name}: ${value}`);
  const faults = [...wrong.map((text) => `WRONG ${text}`), ...broken.map((text) => `BROKEN ${text}`)];
  const told = faults.slice(0, TOLD).map((text) => `\n     ${text}`);
  const rest = faults.length > TOLD ? [`\n     and ${faults.length - TOLD} more`] : [];
  const verdict = isKept(result) ? "kept" : "BROKEN";
  return [
    `${id.padEnd(4)} ${verdict}: ${survived}/${injected} survived, ${wrong.length} wrong values${times}\n     ${title}`,
    ...[...figures, ...told, ...rest],
  ].join("");
}

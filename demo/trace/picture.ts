/** The picture: ranks on a circle, the links between them, and arrows from who waits to whom. */
import type { LiveState } from "../../src/cli/trace/live-state.ts";
import { element } from "../svg.ts";

const SIZE = 320;
const CENTRE = SIZE / 2;
/** The centre of a rank is so far from the picture's, and its rim from the edge. */
const ORBIT = 136;
const MOST_RADIUS = 20;
const MARGIN = 3;
/** A rank that is smaller has no room for its number. */
const LEAST_NAMED = 10;
/** The widest link, for the fastest one there is. */
const WIDEST = 10;

/** The picture of a state, in words for those who do not see it. */
export function drawPicture({ size, ranks, waits, links, culprits, sentence }: LiveState): SVGElement {
  const svg = element("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img" });
  const told = waits.map(({ from, to }) => `rank ${from} waits for rank ${to}`).join(", ");
  svg.setAttribute("aria-label", `${size} ranks; ${told || "nobody waits for long"}; ${sentence ?? ""}`);
  svg.append(arrowHead());
  const radius = Math.min(MOST_RADIUS, (0.9 * Math.PI * ORBIT) / Math.max(1, size));
  const orbit = Math.min(ORBIT + MOST_RADIUS, CENTRE - MARGIN) - radius;
  const at = (rank: number) => {
    const angle = (2 * Math.PI * rank) / Math.max(1, size) - Math.PI / 2;
    return { x: CENTRE + orbit * Math.cos(angle), y: CENTRE + orbit * Math.sin(angle) };
  };
  const fastest = Math.max(1, ...links.map(({ bytesPerSecond }) => bytesPerSecond));
  for (const { from, to, bytes, bytesPerSecond } of links) {
    if (bytes === 0) continue;
    const [a, b] = [at(from), at(to)];
    const width = 1 + (WIDEST - 1) * Math.sqrt(bytesPerSecond / fastest);
    svg.append(element("line", { class: "link", x1: a.x, y1: a.y, x2: b.x, y2: b.y, "stroke-width": width }));
  }
  for (const { from, to } of waits) svg.append(arrow(at(from), at(to), radius));
  for (let rank = 0; rank < size; rank++) {
    const { x, y } = at(rank);
    const seen = ranks.find((one) => one.rank === rank);
    const kinds = [
      "rank",
      ...(seen ? [] : ["unseen"]),
      ...(seen && seen.silentMs !== null ? ["silent"] : []),
      ...(waits.some(({ from }) => from === rank) ? ["waits"] : []),
      ...(culprits.includes(rank) ? ["culprit"] : []),
    ];
    const group = element("g", { class: kinds.join(" ") });
    group.append(element("circle", { cx: x, cy: y, r: radius }));
    if (radius >= LEAST_NAMED) {
      const label = element("text", { x, y, class: radius < MOST_RADIUS ? "small" : "" });
      label.textContent = String(rank);
      group.append(label);
    }
    svg.append(group);
  }
  return svg;
}

interface Point {
  readonly x: number;
  readonly y: number;
}

/** From the rim of one rank to that of another, a little bent, so that two that wait for each other have two arrows. */
function arrow(from: Point, to: Point, radius: number): SVGElement {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  const [ux, uy] = [dx / length, dy / length];
  const gap = radius + 4;
  const [x1, y1] = [from.x + ux * gap, from.y + uy * gap];
  const [x2, y2] = [to.x - ux * (gap + 6), to.y - uy * (gap + 6)];
  const bend = Math.min(24, length / 6);
  const control = `${(x1 + x2) / 2 - uy * bend} ${(y1 + y2) / 2 + ux * bend}`;
  return element("path", { class: "wait", d: `M ${x1} ${y1} Q ${control} ${x2} ${y2}`, "marker-end": "url(#arrow)" });
}

function arrowHead(): SVGElement {
  const marker = element("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 4, refY: 4, orient: "auto" });
  marker.append(element("path", { class: "arrow", d: "M 0 0 L 8 4 L 0 8 z" }));
  const definitions = element("defs", {});
  definitions.append(marker);
  return definitions;
}

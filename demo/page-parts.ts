/** Parts that several pages have: `<!-- part: join -->` in a page stands for parts/join.html, `{{words}}` there for the words behind. */
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

const PLACE = /<!-- part: ([a-z]+)(?: "([^"]*)")? -->/g;

/** For the build of a page. */
export function pageParts(): Plugin {
  const part = (_place: string, name: string, words = "") =>
    readFileSync(new URL(`parts/${name}.html`, import.meta.url), "utf8")
      .trim()
      .replaceAll("{{words}}", words);
  return {
    name: "page parts",
    transformIndexHtml: { order: "pre", handler: (html) => html.replace(PLACE, part) },
  };
}

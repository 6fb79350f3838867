/** The pages of docs/: their links, and what they say of the code. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { anchors, links, rewriteLinks } from "../../scripts/site/markdown.ts";
import { SECTIONS } from "../../scripts/site/navigation.ts";
import { deadLinks, markdownFiles, sitePages } from "../../scripts/site/pages.ts";
import * as errors from "../../src/errors.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");
const pages = markdownFiles(root);

/** The text of every source file in `folder` whose name ends so. */
function sourcesIn(folder: string, ending: RegExp): string {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
  const files = names.filter((name) => ending.test(name) && !name.includes("node_modules"));
  return files.map((name) => read(join(folder, name))).join("\n");
}

const namesIn = (text: string, ...patterns: RegExp[]) =>
  patterns.flatMap((pattern) => [...text.matchAll(pattern)].map(([, name]) => name!));

/** Every environment variable that the code reads. */
function variablesRead(): Set<string> {
  const code = sourcesIn("src", /\.ts$/);
  const native = ["lib", "scripts", "src"].map((name) => sourcesIn(`native-nccl/${name}`, /\.(js|cc|h)$/)).join("\n");
  return new Set([
    ...namesIn(code, /\b(WEBCCL_[A-Z_]*[A-Z])\b/g, /\benv\("([A-Z_]+)"\)/g, /wholeVariable\(platform, "([A-Z_]+)"\)/g),
    ...namesIn(code, /"(SLURM_[A-Z_]+)"/g, /process\.env\.([A-Z_]+)/g),
    ...namesIn(native, /process\.env\.([A-Z_]+)/g, /(?:environment|getenv)\("([A-Z_]+)"\)/g, /"(WEBCCL_[A-Z_]+)"/g),
  ]);
}

describe("the pages of docs/", () => {
  const cache = new Map<string, Set<string>>();
  function anchorsOf(file: string): Set<string> {
    if (!cache.has(file)) cache.set(file, anchors(read(file)));
    return cache.get(file)!;
  }

  it("have links and anchors that lead somewhere, and so have README, CONTRIBUTING and CHANGELOG", () => {
    expect(pages.length).toBeGreaterThan(35);
    expect(pages.flatMap((file) => links(read(file))).length).toBeGreaterThan(200);
    expect(pages.flatMap((file) => deadLinks(root, file, anchorsOf))).toEqual([]);
  });

  it("copy nothing but pictures: every other file to which they link is a page", () => {
    for (const path of sitePages(root).assets.keys()) expect(path).toMatch(/\.(png|svg)$/);
  });

  it("are all in the sidebar, under a name of their own", () => {
    const shown = SECTIONS.flatMap(({ pages }) => pages.map(([page]) => `${page}.md`));
    const made = [...sitePages(root).pages.keys()].filter((path) => !path.startsWith("source/"));
    expect(new Set(shown).size).toBe(shown.length);
    expect(made.filter((path) => !["index.md", "readme.md"].includes(path)).sort()).toEqual(shown.sort());
  });

  it("have an anchor for each error code, in small letters, and name its class there", () => {
    const page = read("docs/errors.md");
    const classes = Object.values(errors).filter(
      (value): value is typeof errors.StoreError =>
        typeof value === "function" && value.prototype instanceof errors.WebcclError,
    );
    expect(classes.length).toBe(12);
    for (const Class of classes) {
      const { code, name } = new Class("", { peer: 0, url: "" } as object);
      expect(anchorsOf("docs/errors.md")).toContain(code.toLowerCase());
      expect(page).toContain(`\n## ${code}\n\n\`${name}\`. `);
    }
  });

  it("name every environment variable that the code reads, and no other", () => {
    const page = read("docs/environment.md");
    const told = [...page.matchAll(/^\| (`[^|]*)\|/gm)].flatMap(([, cell]) => namesIn(cell!, /`([A-Z_]+)`/g));
    expect(new Set(told).size).toBe(told.length);
    expect(told.sort()).toEqual([...variablesRead()].sort());
  });

  it("lead to each task of a newcomer from the first page", () => {
    const tasks = read("docs/README.md").match(/## I want to …\n\n([\s\S]*?)\n\n/)![1]!;
    expect(tasks.split("\n").length - 2).toBeGreaterThanOrEqual(10);
    expect(
      tasks
        .split("\n")
        .slice(2)
        .filter((row) => !row.includes("](") || row.includes("README")),
    ).toEqual([]);
  });
});

describe("rewriteLinks()", () => {
  it("leaves code as it is, and finds a link whose text is code or a picture", () => {
    const text = "[a](b.md) `[c](d.md)` [`e`](f.md) [![g](h.png)](i.md)\n\n```ts\n[j](k.md)\n```\n";
    expect(links(text)).toEqual(["b.md", "f.md", "h.png", "i.md"]);
    expect(rewriteLinks(text, (target) => `/${target}`)).toBe(
      "[a](/b.md) `[c](d.md)` [`e`](/f.md) [![g](/h.png)](/i.md)\n\n```ts\n[j](k.md)\n```\n",
    );
  });
});

describe("anchors()", () => {
  it("are those that a code host makes", () => {
    expect([...anchors('# A & b\n## `x: "f32"`\n## PEER_LOST\n## [l](m.md) n\n## A & b\n```\n# no\n```\n')]).toEqual([
      ...["a--b", "x-f32", "peer_lost", "l-n", "a--b-1"],
    ]);
  });
});

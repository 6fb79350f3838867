/**
 * The pages of the site, made from the Markdown of the repository: docs/, README.md, CONTRIBUTING.md and CHANGELOG.md. A link to any
 * other file of the repository leads to a page with its text, and a link to a folder to a list of its files, so the site is whole.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, extname, join, posix } from "node:path";
import { links, rewriteLinks } from "./markdown.ts";

/** Where a Markdown file of the repository stands on the site. */
const ROOT_PAGES: Readonly<Record<string, string>> = {
  "README.md": "readme.md",
  "CONTRIBUTING.md": "contributing.md",
  "CHANGELOG.md": "changelog.md",
  "docs/README.md": "index.md",
};

/** The head of the first page, above the text of docs/README.md. */
const HOME = `---
title: Collective communication for TypeScript
---
`;

const LANGUAGES: Readonly<Record<string, string>> = {
  ".yaml": "yaml",
  ".ts": "ts",
  ".sh": "sh",
  ".conf": "nginx",
  ".mjs": "js",
};

/** Files that links may show as pages. Others, such as pictures, are copied. */
const TEXTS = /(\.(ts|mjs|js|yaml|conf|sh|json|html|wgsl|py|cc|h|service)|Dockerfile|Caddyfile|LICENSE)$/;

/** Every Markdown file that is a page, as a path from the root of the repository. */
export function markdownFiles(root: string): string[] {
  const docs = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).map((name) =>
    posix.join("docs", name),
  );
  return ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ...docs.filter((name) => name.endsWith(".md")).sort()];
}

/** The site's pages by their paths on the site, and the pictures, each with its path in the repository. */
export function sitePages(root: string): { pages: Map<string, string>; assets: Map<string, string> } {
  const pages = new Map<string, string>();
  const assets = new Map<string, string>();
  const sources = new Set<string>();

  function placeOf(from: string, target: string): string {
    const [path = "", anchor] = target.split("#");
    if (/^[a-z]+:/.test(target) || path === "") return target;
    const file = posix.join(posix.dirname(from), path).replace(/\/$/, "");
    const behind = anchor === undefined ? "" : `#${anchor}`;
    if (ROOT_PAGES[file] || file.endsWith(".md")) return `/${pagePath(file)}${behind}`;
    if (!existsSync(join(root, file))) throw new Error(`${from} links to ${target}, which is not there`);
    if (!statSync(join(root, file)).isDirectory() && !TEXTS.test(file)) {
      assets.set(file, file);
      return `/${file}`;
    }
    sources.add(file);
    return `/${sourcePath(root, file)}`;
  }

  for (const file of markdownFiles(root)) {
    const text = readFileSync(join(root, file), "utf8");
    // A code host draws a diagram of Mermaid's; here its text stands.
    const page = rewriteLinks(text, (target) => placeOf(file, target)).replaceAll("```mermaid", "```text");
    pages.set(pagePath(file), file === "docs/README.md" ? HOME + page : page);
  }
  // A list of files names more files.
  for (const file of sources) pages.set(sourcePath(root, file), sourcePage(root, file, sources));
  return { pages, assets };
}

function pagePath(file: string): string {
  return ROOT_PAGES[file] ?? file.replace(/^docs\//, "");
}

function sourcePath(root: string, file: string): string {
  return `source/${file}${statSync(join(root, file)).isDirectory() ? "/index" : ""}.md`;
}

function sourcePage(root: string, file: string, sources: Set<string>): string {
  if (!statSync(join(root, file)).isDirectory()) {
    const language = LANGUAGES[extname(file)] ?? "text";
    return `# ${basename(file)}\n\nThe file \`${file}\` of the repository.\n\n\`\`\`\`${language}\n${readFileSync(join(root, file), "utf8").trimEnd()}\n\`\`\`\`\n`;
  }
  const inside = readdirSync(join(root, file), { withFileTypes: true })
    .map((entry) => ({ name: entry.name, path: posix.join(file, entry.name), isFolder: entry.isDirectory() }))
    .filter(({ path, isFolder }) => isFolder || TEXTS.test(path));
  for (const { path } of inside) sources.add(path);
  const lines = inside.map(({ name, path }) => `- [${name}](/${sourcePath(root, path)})`);
  return `# ${basename(file)}\n\nThe files of \`${file}\` in the repository.\n\n${lines.join("\n")}\n`;
}

/** Every relative link of a Markdown file that leads nowhere, in words. A heading's anchor is the one that GitHub gives it. */
export function deadLinks(root: string, file: string, anchorsOf: (file: string) => ReadonlySet<string>): string[] {
  return links(readFileSync(join(root, file), "utf8")).flatMap((target) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [path = "", anchor] = target.split("#");
    const to = path === "" ? file : posix.join(dirname(file), path);
    if (!existsSync(join(root, to))) return [`${file}: ${target} is not there`];
    if (anchor === undefined || !to.endsWith(".md") || anchorsOf(to).has(anchor)) return [];
    return [`${file}: ${to} has no heading ${anchor}`];
  });
}

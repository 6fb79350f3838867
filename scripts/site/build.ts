/**
 * `npm run docs`: the documentation site in site/html/, static files that any server serves. Its pages are the Markdown of the
 * repository (pages.ts) and the API reference (reference.ts); VitePress makes them HTML. Words behind `npm run docs --` are
 * `--base /path/`, if the site is not at the root of its server.
 */
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { toldBy } from "../command-line.ts";
import { sitePages } from "./pages.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = join(root, "site");
const pagesFolder = join(folder, "pages");

/** Builds the site. */
export async function buildSite(base = "/"): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  const { pages, assets } = sitePages(root);
  for (const [path, text] of pages) write(path, text);
  for (const [path, file] of assets) {
    mkdirSync(dirname(join(pagesFolder, "public", path)), { recursive: true });
    copyFileSync(join(root, file), join(pagesFolder, "public", path));
  }
  // Both take seconds to load, and `--help` needs neither.
  const [{ Reference }, { build }] = await Promise.all([import("./reference.ts"), import("vitepress")]);
  const reference = await Reference.read(root);
  if (reference.complaints.length > 0) throw new Error(reference.complaints.join("\n"));
  await reference.write();
  await build(fileURLToPath(new URL(".", import.meta.url)), { base });
}

function write(path: string, text: string): void {
  mkdirSync(dirname(join(pagesFolder, path)), { recursive: true });
  writeFileSync(join(pagesFolder, path), text);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const usage = `npm run docs -- [options]
  --base /path/    where the site is on its server (/)`;
  await buildSite(toldBy(usage, { base: { type: "string" } }, ({ values }) => values.base));
}

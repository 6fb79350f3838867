/** How VitePress makes the site: build.ts puts its pages into site/pages/. */
import GithubSlugger from "github-slugger";
import { defineConfig } from "vitepress";
import { SECTIONS } from "./navigation.ts";
import { scrollable } from "./scrollable.ts";

const ENTRIES = [
  "webccl",
  "webccl/hub",
  "webccl/ddp",
  "webccl/nn",
  "webccl/ort",
  "webccl/tfjs",
  "webccl/trace",
  "webccl/testing",
];

// All are open: a button within a section's button is nothing for a screen reader.
const sections = SECTIONS.map(({ title, pages }) => ({
  text: title,
  items: pages.map(([page, text]) => ({ text, link: `/${page}` })),
}));

export default defineConfig({
  title: "webccl",
  description: "Collective communication for TypeScript: browser tabs, Deno and Node in one process group",
  lang: "en",
  // None: browsers ask for one otherwise.
  head: [["link", { rel: "icon", href: "data:," }]],
  srcDir: "../../site/pages",
  outDir: "../../site/html",
  cacheDir: "../../site/cache",
  markdown: {
    // The anchors that a code host gives the same pages.
    anchor: { slugify: (heading) => new GithubSlugger().slug(heading) },
    config: scrollable,
    theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" },
  },
  themeConfig: {
    search: { provider: "local" },
    outline: { level: [2, 3] },
    nav: [
      { text: "Guide", link: "/getting-started" },
      { text: "API", link: "/api/" },
      { text: "Errors", link: "/errors" },
      { text: "Troubleshooting", link: "/troubleshooting" },
    ],
    sidebar: [
      ...sections,
      { text: "API reference", items: ENTRIES.map((name) => ({ text: name, link: `/api/${name}/` })) },
    ],
    docFooter: { prev: "Before", next: "Next" },
  },
});

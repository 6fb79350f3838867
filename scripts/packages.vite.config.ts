/**
 * Bundles each package that pages load into the module of src/packages/ that names it, so that dist/ holds modules alone, whatever
 * form the package has, and nothing else is installed with webccl for them.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** By module of src/packages/: the package whose licence goes with it. */
const PACKAGES = { msgpackr: "msgpackr", "noble-hashes": "@noble/hashes" };

export default defineConfig({
  logLevel: "warn",
  publicDir: false,
  // Some bundlers of pages would put a stand-in of Node's Buffer beside a module that asks for it.
  define: { Buffer: "undefined" },
  build: {
    outDir: path("../dist/packages"),
    emptyOutDir: true,
    minify: true,
    target: "es2022",
    lib: {
      entry: Object.fromEntries(Object.keys(PACKAGES).map((name) => [name, path(`../src/packages/${name}.ts`)])),
      formats: ["es"],
    },
    rolldownOptions: {
      output: {
        entryFileNames: "[name].js",
        postBanner: ({ name }) => licence(PACKAGES[name as keyof typeof PACKAGES]),
      },
    },
  },
});

function licence(name: string): string {
  return `/*! ${name}\n${readFileSync(path(`../node_modules/${name}/LICENSE`), "utf8").trim()}\n*/`;
}

/** What a page loads: modules of this repository bundled and minified, as any bundler would. */
import { gzipSync } from "node:zlib";
import { build } from "vite";

export interface Bundle {
  code: string;
}

/** What a page loads at once, and what only when it opens a GPU, in gzipped bytes. */
export interface Sizes {
  entry: number;
  later: number;
}

/** Bundles `entry`, an absolute path, with all that it imports, for `worker`s too. */
export async function bundle(entry: string): Promise<Bundle> {
  const chunks = await buildChunks(entry, false);
  if (chunks.length !== 1) throw new Error(`one file was expected, and there are ${chunks.length}`);
  return { code: chunks[0]!.code };
}

/** The sizes of `entry` bundled as a bundler does by itself, with what is imported later in files of its own. */
export async function sizesOf(entry: string): Promise<Sizes> {
  const sizes = { entry: 0, later: 0 };
  const chunks = await buildChunks(entry, true);
  const first = chunks.find((chunk) => chunk.isEntry)!;
  const atOnce = new Set([first.fileName, ...first.imports]);
  for (const { code, fileName } of chunks) {
    sizes[atOnce.has(fileName) ? "entry" : "later"] += gzipSync(code, { level: 9 }).byteLength;
  }
  return sizes;
}

async function buildChunks(entry: string, codeSplitting: boolean) {
  const result = await build({
    configFile: false,
    root: new URL("../../../", import.meta.url).pathname,
    logLevel: "error",
    build: {
      write: false,
      target: "es2022",
      modulePreload: false,
      rollupOptions: {
        input: entry,
        preserveEntrySignatures: "strict",
        output: { codeSplitting, entryFileNames: "entry.js" },
      },
    },
  });
  const [output] = [result].flat();
  if (!output || !("output" in output)) throw new Error("vite watched instead of building");
  return output.output.filter((file) => file.type === "chunk");
}

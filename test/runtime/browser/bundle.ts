/** What a page loads: modules of this repository bundled and minified, as any bundler would. */
import { gzipSync } from "node:zlib";
import { build } from "vite";

export interface Bundle {
  code: string;
  gzippedBytes: number;
}

/** Bundles `entry`, an absolute path, with all that it imports, for `worker`s too. */
export async function bundle(entry: string): Promise<Bundle> {
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
        output: { codeSplitting: false, entryFileNames: "entry.js" },
      },
    },
  });
  const [output] = [result].flat();
  if (!output || !("output" in output)) throw new Error("vite watched instead of building");
  const chunks = output.output.filter((file) => file.type === "chunk");
  if (chunks.length !== 1) throw new Error(`one file was expected, and there are ${chunks.length}`);
  const { code } = chunks[0]!;
  return { code, gzippedBytes: gzipSync(code, { level: 9 }).byteLength };
}

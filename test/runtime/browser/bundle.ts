/** What a page loads: modules of this repository bundled and minified, as any bundler would. */
import { gzipSync } from "node:zlib";
import { build } from "vite";

export interface Bundle {
  code: string;
  gzippedBytes: number;
}

/** Bundles `entry`, an absolute path, with all that it imports, into one file. */
export async function bundle(entry: string): Promise<Bundle> {
  const [first, ...others] = await bundles(entry, false);
  if (!first || others.length > 0) throw new Error(`one file was expected, and there are ${others.length + 1}`);
  return first;
}

/** The file of `entry` with what it cannot do without, then those that it loads when they are wanted. */
export async function bundles(entry: string, codeSplitting = true): Promise<Bundle[]> {
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
        preserveEntrySignatures: "allow-extension",
        output: { codeSplitting, entryFileNames: "entry.js" },
      },
    },
  });
  const [output] = [result].flat();
  if (!output || !("output" in output)) throw new Error("vite watched instead of building");
  const chunks = output.output.filter((file) => file.type === "chunk");
  const measured = (files: typeof chunks): Bundle => ({
    code: files.map(({ code }) => code).join("\n"),
    gzippedBytes: files.reduce((sum, { code }) => sum + gzipSync(code, { level: 9 }).byteLength, 0),
  });
  const first = chunks.find(({ isEntry }) => isEntry)!;
  // With the files that the entry loads at once.
  const atOnce = [first];
  for (const { imports } of atOnce) {
    for (const name of imports) {
      const file = chunks.find(({ fileName }) => fileName === name);
      if (file && !atOnce.includes(file)) atOnce.push(file);
    }
  }
  return [measured(atOnce), ...chunks.filter((file) => !atOnce.includes(file)).map((file) => measured([file]))];
}

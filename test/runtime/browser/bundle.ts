/** What a page loads: modules of this repository bundled and minified, as any bundler would. */
import { gzipSync } from "node:zlib";
import { build, type Plugin, type Rolldown } from "vite";

/** Bundles `entry`, an absolute path, with all that it imports, into one file, and gives its code. */
export async function bundle(entry: string): Promise<string> {
  return (await chunksOf(entry, { codeSplitting: false }))[0]!.code;
}

/** What `entry` cannot do without, in one file, and by name the files that hold what it loads when that is wanted. */
export async function bundleInParts(entry: string): Promise<{ entry: Part; wanted: Map<string, Part> }> {
  const leaveOut: Plugin = { name: "leave out", enforce: "pre", resolveDynamicImport: () => false };
  const [first] = await chunksOf(entry, {}, [leaveOut]);
  const chunks = await chunksOf(entry, {});
  const loaded = new Set(chunks.flatMap(({ dynamicImports }) => dynamicImports));
  const wanted = chunks.filter(({ fileName }) => loaded.has(fileName));
  return { entry: partOf(first!), wanted: new Map(wanted.map((chunk) => [chunk.name, partOf(chunk)])) };
}

export interface Part {
  code: string;
  gzippedBytes: number;
}

const partOf = ({ code }: Rolldown.OutputChunk): Part => ({
  code,
  gzippedBytes: gzipSync(code, { level: 9 }).byteLength,
});

async function chunksOf(
  entry: string,
  output: Rolldown.OutputOptions,
  plugins: Plugin[] = [],
): Promise<Rolldown.OutputChunk[]> {
  const result = await build({
    configFile: false,
    root: new URL("../../../", import.meta.url).pathname,
    logLevel: "error",
    plugins,
    build: {
      write: false,
      // As for a worker of a server, without what Vite adds to load a page's styles.
      ssr: true,
      minify: true,
      target: "es2022",
      rollupOptions: {
        input: entry,
        preserveEntrySignatures: "allow-extension",
        output: { entryFileNames: "entry.js", ...output },
      },
    },
  });
  const [bundled] = [result].flat();
  if (!bundled || !("output" in bundled)) throw new Error("vite watched instead of building");
  return bundled.output.filter((file) => file.type === "chunk");
}

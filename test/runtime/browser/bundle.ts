/** What a page loads: modules of this repository bundled and minified, as any bundler would. */
import { gzipSync } from "node:zlib";
import { build, type InlineConfig, mergeConfig, type Plugin, type Rolldown } from "vite";

/**
 * Bundles `entry`, an absolute path, with all that it imports, into one file of this name, and the modules of its workers
 * into others: their codes by name.
 */
export async function bundle(entry: string, name: string): Promise<Map<string, string>> {
  const output = { entryFileNames: name, codeSplitting: false };
  const files = await bundled(entry, { base: "./", build: { assetsDir: "", rollupOptions: { output } } });
  return new Map(files.map((file) => [file.fileName, file.type === "chunk" ? file.code : String(file.source)]));
}

/** By name, each package that is bundled with webccl: a module of src/packages/. */
const packages: ReadonlyMap<string, string> = new Map(
  ["msgpackr", "noble-hashes"].map((name) => [
    name,
    new URL(`../../../src/packages/${name}.ts`, import.meta.url).pathname,
  ]),
);

/**
 * The own code that `entry` cannot do without, in one file; by name the files that hold what it loads when that is wanted;
 * and by name the packages, apart.
 */
export async function bundleInParts(
  entry: string,
): Promise<{ entry: Part; wanted: Map<string, Part>; bundled: Map<string, Part> }> {
  const leaveOut: Plugin = { name: "leave out", enforce: "pre", resolveDynamicImport: () => false };
  const keepApart: Plugin = {
    name: "keep packages apart",
    enforce: "pre",
    resolveId: (id) => (/\/packages\/[\w-]+\.ts$/.test(id) ? { id, external: true } : null),
  };
  const [first] = await chunksOf(entry, [leaveOut, keepApart]);
  const chunks = await chunksOf(entry, [keepApart]);
  const loaded = new Set(chunks.flatMap(({ dynamicImports }) => dynamicImports));
  const wanted = chunks.filter(({ fileName }) => loaded.has(fileName));
  const bundled = new Map<string, Part>();
  for (const [name, path] of packages) bundled.set(name, partOf((await chunksOf(path, []))[0]!));
  return { entry: partOf(first!), wanted: new Map(wanted.map((chunk) => [chunk.name, partOf(chunk)])), bundled };
}

export interface Part {
  code: string;
  gzippedBytes: number;
}

const partOf = ({ code }: Rolldown.OutputChunk): Part => ({
  code,
  gzippedBytes: gzipSync(code, { level: 9 }).byteLength,
});

/** As for a worker of a server, without what Vite adds to load a page's styles. */
async function chunksOf(entry: string, plugins: Plugin[]): Promise<Rolldown.OutputChunk[]> {
  const files = await bundled(entry, { plugins, ssr: { noExternal: true }, build: { ssr: true } });
  return files.filter((file) => file.type === "chunk");
}

async function bundled(entry: string, config: InlineConfig): Promise<Rolldown.RolldownOutput["output"]> {
  const common: InlineConfig = {
    configFile: false,
    root: new URL("../../../", import.meta.url).pathname,
    logLevel: "error",
    worker: { format: "es", rolldownOptions: { output: { entryFileNames: "[name].js" } } },
    build: {
      write: false,
      minify: true,
      modulePreload: false,
      target: "es2022",
      rollupOptions: { input: entry, preserveEntrySignatures: "allow-extension" },
    },
  };
  const [result] = [await build(mergeConfig(common, config) as InlineConfig)].flat();
  if (!result || !("output" in result)) throw new Error("vite watched instead of building");
  return result.output;
}

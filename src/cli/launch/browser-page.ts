/** The page in which `webccl run --browsers` runs a program. The hub of the job serves it, so page and hub have one origin. */
import type { RequestListener } from "node:http";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { importOptional } from "../optional.ts";
import { siblingModule } from "../sibling-module.ts";

const SHELL = `<!doctype html><title>webccl rank</title><script type="module">
  import("/program.js").then(() => webcclEnded(0), (error) => {
    console.error(error.stack ?? String(error));
    webcclEnded(1);
  });
</script>
`;

/**
 * Bundles a program with all it imports; "webccl" and its entries are this webccl. Files that a package names by their address
 * beside its module, such as the WebAssembly of ONNX Runtime, are served with it.
 * @throws UsageError if vite is not installed.
 */
export async function programPage(script: string): Promise<RequestListener> {
  const { build } = await importOptional<typeof import("vite")>("vite", "programs are bundled by it for browsers");
  const result = await build({
    configFile: false,
    root: dirname(script),
    logLevel: "error",
    resolve: { alias: ALIASES },
    build: {
      write: false,
      target: "es2022",
      minify: false,
      modulePreload: false,
      rollupOptions: { input: script, output: { codeSplitting: false } },
    },
  });
  const [output] = [result].flat();
  if (!output || !("output" in output)) throw new Error("vite watched instead of building");
  const [program, ...assets] = output.output;
  const files = new Map<string | undefined, string | Uint8Array>([
    ["/program.js", program.code],
    ...assets.map((file) => [`/${file.fileName}`, file.type === "asset" ? file.source : file.code] as const),
  ]);
  return (request, response) => {
    const file = files.get(request.url);
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    response.setHeader("content-type", file === undefined ? "text/html" : typeOf(request.url));
    response.end(file ?? SHELL);
  };
}

function typeOf(url = ""): string {
  if (url.endsWith(".wasm")) return "application/wasm";
  return /\.m?js$/.test(url) ? "text/javascript" : "application/octet-stream";
}

/** What "webccl" and its entries that pages have are, beside this file, in source or in build. */
const ALIASES = [
  ["webccl", "browser"],
  ...["ddp", "nn", "ort", "testing", "tfjs"].map((entry) => [`webccl/${entry}`, entry]),
].map(([entry, folder]) => ({
  find: new RegExp(`^${entry}$`),
  replacement: fileURLToPath(siblingModule(import.meta.url, `../../${folder}/index`)),
}));

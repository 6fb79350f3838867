/**
 * Serves a page on which every tab that opens it trains the GPT along, with the loss and a text that it writes:
 *
 *   npx tsx examples/gpt/serve.ts --port 8080
 *
 * The page is built first (page/). It finds the other tabs as the demo's page does (demo/), at the hub that serves it. Options are
 * those of `webccl demo`: --host, --port, --token-file, --cert, --key, --insecure and so on.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build } from "vite";
import { pageParts } from "../../demo/page-parts.ts";
import { demo } from "../../src/cli/demo.ts";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** Builds the page into `folder`. It is built with the source of webccl, as the parts that it has of the demo are. */
export async function buildPage(folder: string): Promise<URL> {
  await build({
    configFile: false,
    plugins: [pageParts()],
    root: path("page"),
    base: "./",
    publicDir: path("../../demo/public"),
    logLevel: "error",
    resolve: {
      alias: [
        { find: /^webccl$/, replacement: path("../../src/browser/index.ts") },
        { find: /^webccl\/(ddp|tfjs)$/, replacement: `${path("../../src")}/$1/index.ts` },
      ],
    },
    build: { outDir: folder, emptyOutDir: true, target: "es2022", chunkSizeWarningLimit: 4096 },
  });
  return pathToFileURL(`${folder}/`);
}

if (pathToFileURL(process.argv[1] ?? "").href === import.meta.url) {
  const text = { type: "string" } as const;
  const list = { type: "string", multiple: true } as const;
  const { values } = parseArgs({
    options: {
      ...{ host: text, port: text, cert: text, key: text, "token-file": text },
      ...{ origin: list, "allow-host": list },
      insecure: { type: "boolean" },
    },
  });
  const folder = await mkdtemp(join(tmpdir(), "webccl-gpt-"));
  try {
    const { "token-file": tokenFile, "allow-host": allowHost, ...flags } = values;
    process.exitCode = await demo({ ...flags, tokenFile, allowHost }, await buildPage(folder));
  } finally {
    await rm(folder, { recursive: true });
  }
}

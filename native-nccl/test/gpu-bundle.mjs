/**
 * The rank program of test/nccl, and the command `webccl`, each in one file that needs no package but `webgpu`:
 * `node gpu-bundle.mjs FOLDER`.
 */
import { fileURLToPath } from "node:url";
import { build } from "vite";

const addon = fileURLToPath(new URL("../index.js", import.meta.url));
const programs = { rank: "../../test/nccl/programs/rank.ts", webccl: "../../src/cli/main.ts" };
for (const [name, source] of Object.entries(programs)) {
  await build({
    configFile: false,
    logLevel: "error",
    ssr: { noExternal: true, external: ["webgpu"] },
    build: {
      ssr: fileURLToPath(new URL(source, import.meta.url)),
      outDir: process.argv[2],
      emptyOutDir: false,
      minify: false,
      rolldownOptions: { external: [addon], output: { entryFileNames: `${name}.mjs`, codeSplitting: false } },
    },
  });
}

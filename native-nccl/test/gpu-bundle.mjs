/** The rank program of test/nccl in one file that needs no package: `node gpu-bundle.mjs FOLDER`. */
import { fileURLToPath } from "node:url";
import { build } from "vite";

const addon = fileURLToPath(new URL("../index.js", import.meta.url));
await build({
  configFile: false,
  logLevel: "error",
  ssr: { noExternal: true },
  build: {
    ssr: fileURLToPath(new URL("../../test/nccl/programs/rank.ts", import.meta.url)),
    outDir: process.argv[2],
    emptyOutDir: true,
    minify: false,
    rolldownOptions: { external: [addon], output: { entryFileNames: "rank.mjs", codeSplitting: false } },
  },
});

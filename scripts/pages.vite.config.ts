/** The build of the pages of demo/, for `npm run build`: the page that is named there, with the parts that several have. */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { pageParts } from "../demo/page-parts.ts";

export default defineConfig({
  plugins: [pageParts()],
  base: "./",
  publicDir: fileURLToPath(new URL("../demo/public", import.meta.url)),
  logLevel: "warn",
  build: { assetsDir: "assets", emptyOutDir: true },
});

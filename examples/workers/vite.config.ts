// Serves the page of this folder so that its workers may share memory.
//
//   npm run build && npx vite examples/workers
import { defineConfig } from "vite";

// With these a page is cross-origin isolated, and its workers may share memory.
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  server: { headers },
  preview: { headers },
  // Ranks await at top level, so their modules must be ES modules.
  // webccl finds its worker beside itself, so Vite must not pre-bundle it.
  worker: { format: "es" },
  optimizeDeps: { exclude: ["webccl"] },
});

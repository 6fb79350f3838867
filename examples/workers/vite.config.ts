import { defineConfig } from "vite";

// With these a page is cross-origin isolated, and its workers may share memory.
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  server: { headers },
  preview: { headers },
  // Ranks await at top level; and webccl finds its worker beside itself.
  worker: { format: "es" },
  optimizeDeps: { exclude: ["webccl"] },
});

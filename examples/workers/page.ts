/// <reference types="vite/client" />
// npx vite examples/workers
import { spawnRanks } from "webccl";
// Vite's way to an address of a module that a worker can run.
import rank from "./rank.ts?worker&url";

const output = document.getElementById("output")!;
try {
  const { results } = await spawnRanks(4, rank);
  output.textContent = (await Promise.all(results)).join("\n");
} catch (error) {
  output.textContent = String(error);
}

/// <reference types="vite/client" />
// Four ranks as module workers of this page, which share memory; the page shows the value that each rank posts last.
// rank.ts is the program of a rank.
//
//   npm run build && npx vite examples/workers
import { spawnRanks } from "webccl";
// In Vite `?worker&url` gives the address of a module that a worker can run.
import rank from "./rank.ts?worker&url";

const output = document.getElementById("output")!;
try {
  const { results } = await spawnRanks(4, rank);
  output.textContent = (await Promise.all(results)).join("\n");
} catch (error) {
  output.textContent = String(error);
}

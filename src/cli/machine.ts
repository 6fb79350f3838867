/** This machine in words, as reports and results name it. */
import { availableParallelism, cpus, totalmem } from "node:os";

/** "2 × Intel(R) Xeon(R) CPU @ 2.20GHz, 24 GiB". */
export function machineText(): string {
  const model = cpus()[0]?.model.trim() ?? process.arch;
  return `${availableParallelism()} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
}

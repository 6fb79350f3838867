/** One rank's part of a list of cases, in any runtime. */
import type { ProcessGroup } from "../../src/process-group.ts";
import { type ConformanceCase, ConformanceError } from "../../src/testing/index.ts";

/** What one rank found in a list of cases. */
export interface CasesReport {
  /** Cases that ran on this rank. */
  ran: number;
  /** Wrong results, in words. */
  wrong: string[];
  /** Per case, SHA-256 of what must be equal on all ranks. */
  digests: string[];
}

/** Runs this rank's part of the cases, one after the other and without waiting for the other ranks in between. */
export async function runCases(group: ProcessGroup, cases: Iterable<ConformanceCase>): Promise<CasesReport> {
  const report: CasesReport = { ran: 0, wrong: [], digests: [] };
  for (const one of cases) {
    try {
      report.digests.push(await (await one.run(group)).shared());
    } catch (error) {
      // After a wrong result the ranks are still in step; after any other error they may not be.
      if (!(error instanceof ConformanceError)) {
        throw new Error(`${one.name}, rank ${group.rank} of ${group.size}: ${String(error)}`, { cause: error });
      }
      report.digests.push("wrong");
      if (report.wrong.length < 10) report.wrong.push(error.message);
    }
    report.ran++;
  }
  return report;
}

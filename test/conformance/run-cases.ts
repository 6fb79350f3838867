/** Lists of conformance cases on one group, in any runtime. */
import type { ProcessGroup } from "../../src/group/process-group.ts";
import { type ConformanceCase, ConformanceError, type TestMemory } from "../../src/testing/index.ts";

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
export async function runCases(
  group: ProcessGroup,
  cases: Iterable<ConformanceCase>,
  memory?: TestMemory,
): Promise<CasesReport> {
  const report: CasesReport = { ran: 0, wrong: [], digests: [] };
  for (const one of cases) {
    try {
      report.digests.push(await (await one.run(group, memory)).shared());
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

/**
 * How many cases every rank ran.
 * @throws Error that lists wrong results, if there are any, and cases whose results were not equal on all ranks.
 */
export function judge(reports: readonly CasesReport[], cases: readonly ConformanceCase[]): number {
  const wrong = reports.flatMap((report) => report.wrong);
  cases.forEach((one, index) => {
    const digests = reports.map((report) => report.digests[index]);
    if (new Set(digests).size !== 1) wrong.push(`${one.name}: ranks differ: ${digests.join(", ")}`);
  });
  if (wrong.length > 0) throw new Error(`${wrong.length} wrong:\n${wrong.slice(0, 20).join("\n")}`);
  return reports.reduce((least, report) => Math.min(least, report.ran), cases.length);
}

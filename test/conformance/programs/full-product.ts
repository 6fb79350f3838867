/** A step of `npm run nightly`: every collective × dtype × op × count over memory, at each number of ranks given. `npm test` has 3 ranks. */
import { conformanceCases } from "../../../src/testing/index.ts";
import { checkCases } from "../harness.ts";

for (const size of process.argv.slice(2).map(Number)) {
  const cases = [...conformanceCases({ size, seed: size })];
  const ran = await checkCases("memory", size, cases, { timeoutMs: 0 });
  if (ran !== cases.length) throw new Error(`${size} ranks ran ${ran} of ${cases.length} cases`);
  console.log(`${size} ranks: ${ran} cases`);
}

/** `pairing.ts SEEDS [FIRST]`: programs of calls over every medium. Exit code 1 if a call has the value of another one. */
import { TEST_TRANSPORTS } from "../../conformance/harness.ts";
import { faultsOf, HINDRANCES } from "../drawn-programs.ts";

const [count = "100", first = "0"] = process.argv.slice(2);
let faults = 0;
for (const transport of TEST_TRANSPORTS) {
  for (const [kind, hindrances] of Object.entries(HINDRANCES)) {
    let expired = 0;
    for (let seed = Number(first); seed < Number(first) + Number(count); seed++) {
      const { wrong, hasExpired } = await faultsOf(transport, seed, hindrances);
      for (const fault of wrong) console.log(`${transport}, ${kind}, seed ${seed}: ${fault}`);
      faults += wrong.length;
      if (hasExpired) expired++;
    }
    console.log(`${transport}, ${kind}: ${count} programs, ${expired} ended by a timeout`);
  }
}
console.log(`${faults} wrong values`);
process.exitCode = faults > 0 ? 1 : 0;

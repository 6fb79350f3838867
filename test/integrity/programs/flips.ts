/** `npm run nightly`: flips of the number that the command line gives, drawn by its second word, or by the day. */
import { tryFlips } from "../flips.ts";

const [count = "10000", seed = new Date().toISOString().slice(0, 10).replaceAll("-", "")] = process.argv.slice(2);
const PROGRESS = 500;

console.log(`${count} flips, seed ${seed}`);
const { flips, ends, examples, faults } = await tryFlips(Number(count), Number(seed), (tally) => {
  if (tally.flips % PROGRESS === 0)
    console.log(`${tally.flips}: ${JSON.stringify(tally.ends)}, ${tally.faults.length} faults`);
});
const unnoticed = ends.unnoticed ?? 0;
console.log(`${flips} flips: ${JSON.stringify(ends)}, ${faults.length} faults`);
for (const [end, example] of Object.entries(examples)) console.log(`${end}: ${example}`);
for (const fault of faults.slice(0, 20)) console.log(fault);
process.exitCode = faults.length > 0 || unnoticed > 0 ? 1 : 0;

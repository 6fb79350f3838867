/**
 * Runs the schedules that it reads as JSON, one after the other, and prints what became of each, as JSON. With the word "lying"
 * rank 1 of every group takes a right sum for a wrong one.
 */
import { text } from "node:stream/consumers";
import { WrongValueError } from "../../../dist/simulated/run/program.js";
import { Simulator } from "../../../dist/simulated/simulator.js";

/** @type {import("../../../dist/simulated/run/program.js").Program} */
const lying = async (group, rank) => {
  await group.allReduce(new Float32Array(8));
  if (rank === 1) throw new WrongValueError("a lie");
};

const simulator = new Simulator();
const options = process.argv[2] === "lying" ? { program: lying } : {};
const results = [];
for (const schedule of JSON.parse(await text(process.stdin))) {
  const { result, violations } = await simulator.check(schedule, options);
  const shortened = options.program && violations[0] ? await simulator.shorten(schedule, violations[0], options) : null;
  const causes = result.ranks.flatMap(({ hasDied, cause, deaths }) => [
    hasDied ? new Error("its process ended") : cause,
    ...deaths.map((death) => death.cause),
  ]);
  results.push({
    hash: result.hash,
    events: result.events,
    violations,
    causes: causes.map((cause) => cause?.message ?? null),
    shortened,
  });
}
console.log(JSON.stringify(results));

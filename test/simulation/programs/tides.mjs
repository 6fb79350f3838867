/**
 * One simulated group that loses ranks one by one and grows by as many others: `node tides.mjs RANKS LOSSES JOINS`. After each
 * change an allReduce must be exact. Prints what became of it as JSON; exit code 1 unless all went well.
 */

import { WrongValueError } from "../../../dist/simulated/run/program.js";
import { Simulator } from "../../../dist/simulated/simulator.js";
import { SeededRandom } from "../../../dist/support/seeded-random.js";

const [ranks = 16, losses = 8, joins = 8] = process.argv.slice(2).map(Number);
const SEED = 1;
let [exact, largest, epochs] = [0, 0, 0];

/** @param {import("../../../dist/node/index.js").ProcessGroup} group */
async function expectExact(group) {
  const tensor = Float64Array.from([1, group.globalRanks[group.rank] + 1]);
  await group.allReduce(tensor);
  const sum = group.globalRanks.reduce((all, seat) => all + seat + 1, 0);
  if (tensor[0] !== group.size || tensor[1] !== sum) throw new WrongValueError(`${tensor} in epoch ${group.epoch}`);
  if (group.rank === 0) exact++;
}

/** @type {import("../../../dist/simulated/run/program.js").Program} */
const tides = async (first, _rank, _random, _tell, life) => {
  let group = first;
  const follow = async (/** @type {typeof group} */ next) => {
    if (next.epoch !== group.epoch) await life.onEpoch(next, group);
    group = next;
    [largest, epochs] = [Math.max(largest, group.size), Math.max(epochs, group.epoch)];
  };
  await expectExact(group);
  while (group.epoch < losses) {
    const victim = new SeededRandom(SEED, "victim", group.epoch).below(group.size);
    if (group.rank === victim) await life.end();
    const failed = await group.barrier().then(
      () => false,
      () => life.onFailure(group),
    );
    if (!failed) throw new Error("the barrier of a group that has lost a rank was well");
    await follow(await group.shrink());
    await expectExact(group);
  }
  for (let joined = group.epoch - losses; joined < joins; joined = group.epoch - losses) {
    life.call(ranks + joined);
    await follow(await group.admit());
    await expectExact(group);
  }
};

const started = performance.now();
const { result, violations } = await new Simulator().check(
  {
    ...{ seed: SEED, topology: "tabs", ranks, calls: 1, joins, latencyMs: 1, timeoutMs: 60_000, peerTimeoutMs: 60_000 },
    ...{ leaves: "destroy", faults: [] },
  },
  { program: tides },
);
const errors = result.ranks.flatMap(({ rank, error }) => (error ? [`rank ${rank}: ${error.message}`] : []));
const seconds = Math.round((performance.now() - started) / 1_000);
console.log(JSON.stringify({ ranks, epochs, exact, largest, events: result.events, seconds, errors, violations }));
if (epochs !== losses + joins || exact < losses + joins + 1 || errors.length > 0 || violations.length > 0)
  process.exitCode = 1;

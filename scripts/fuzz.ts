/**
 * `npm run fuzz -- --seconds 60 --seed 1`: drawn bytes against the hub, ranks, clients and a TCPStore's server, with somebody
 * else beside them (test/fuzz/). The exit code is 1 after a crash, an unhandled rejection, a hang or a wrong value, and the
 * output names the session, which `--target` and `--first` run again.
 */
import { parseArgs } from "node:util";
import { fuzz } from "../test/fuzz/fuzz.ts";
import { TARGETS } from "../test/fuzz/targets.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    frames: { type: "string", default: "Infinity" },
    seed: { type: "string", default: "1" },
    first: { type: "string", default: "0" },
    target: { type: "string", multiple: true, default: Object.keys(TARGETS) },
    json: { type: "boolean", default: false },
  },
});
const [seconds, frames, seed, first] = [values.seconds, values.frames, values.seed, values.first].map(Number);
const wrong = [seconds, frames, seed, first].some((number) => !(number! >= 0));
const unknown = values.target.filter((name) => !Object.hasOwn(TARGETS, name));
if (wrong || unknown.length > 0) {
  console.error(`fuzz: numbers are at least 0, and targets are ${Object.keys(TARGETS).join(", ")}`);
  process.exit(2);
}
const isWatched = process.stderr.isTTY && !values.json;
const result = await fuzz({
  ...{ seconds: seconds!, frames: frames!, seed: seed!, first: first!, targets: values.target },
  onProgress: (count, sessions) => {
    if (isWatched && sessions % 10 === 0) process.stderr.write(`\r${count} frames in ${sessions} sessions`);
  },
});
if (isWatched) process.stderr.write("\n");
if (values.json) console.log(JSON.stringify(result));
else {
  console.log(
    `seed ${seed}: ${result.frames} frames in ${result.sessions} sessions, ${result.findings.length} findings`,
  );
  for (const { target, session, error } of result.findings) {
    console.log(`\nnpm run fuzz -- --seed ${seed} --target ${target} --first ${session} --frames 1\n${error}`);
  }
}
process.exit(result.findings.length > 0 ? 1 : 0);

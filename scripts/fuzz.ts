/**
 * `npm run fuzz -- --seconds 60 --seed 1`: drawn bytes against the hub, ranks, clients and a TCPStore's server, with somebody
 * else beside them (test/fuzz/). The exit code is 1 after a crash, an unhandled rejection, a hang or a wrong value, and the
 * output names the session, which `--target` and `--first` run again.
 */
import { fuzz } from "../test/fuzz/fuzz.ts";
import { TARGETS } from "../test/fuzz/targets.ts";
import { choicesOption, toldBy, wholeOption } from "./command-line.ts";

const USAGE = `npm run fuzz -- [options]
  --seconds S     ends after so many (60)
  --frames N      ends after so many frames, whichever comes first (no end)
  --seed S        draws the bytes: the same seed, the same frames (1)
  --first N       begins with this session (0)
  --target T      this target alone, repeatable: ${Object.keys(TARGETS).join(", ")}
  --json          prints the result as JSON`;

const text = { type: "string" } as const;
const { targets, isJson, ...told } = toldBy(
  USAGE,
  {
    ...{ seconds: text, frames: text, seed: text, first: text },
    target: { type: "string", multiple: true },
    json: { type: "boolean" },
  },
  ({ values }) => ({
    seconds: wholeOption("--seconds", values.seconds ?? "60", 1),
    frames: values.frames === undefined ? Number.POSITIVE_INFINITY : wholeOption("--frames", values.frames, 1),
    seed: wholeOption("--seed", values.seed ?? "1", 0),
    first: wholeOption("--first", values.first ?? "0", 0),
    targets: choicesOption("--target", values.target ?? Object.keys(TARGETS), Object.keys(TARGETS)),
    isJson: values.json === true,
  }),
);
const isWatched = process.stderr.isTTY && !isJson;
const result = await fuzz({
  ...told,
  targets,
  onProgress: (count, sessions) => {
    if (isWatched && sessions % 10 === 0) process.stderr.write(`\r${count} frames in ${sessions} sessions`);
  },
});
if (isWatched) process.stderr.write("\n");
if (isJson) console.log(JSON.stringify(result));
else {
  console.log(
    `seed ${told.seed}: ${result.frames} frames in ${result.sessions} sessions, ${result.findings.length} findings`,
  );
  for (const { target, session, error } of result.findings) {
    console.log(`\nnpm run fuzz -- --seed ${told.seed} --target ${target} --first ${session} --frames 1\n${error}`);
  }
}
process.exit(result.findings.length > 0 ? 1 : 0);

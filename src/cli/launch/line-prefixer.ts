/** Marks the lines of a rank's output. */
import { Transform } from "node:stream";

/** Passes whole lines on, each with `[rank] ` before it, so that lines of different ranks never mix. */
export function linePrefixer(rank: string): Transform {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let rest = "";
  const mark = (lines: readonly string[]) => lines.map((line) => `[${rank}] ${line}\n`).join("");
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      done(null, mark(lines));
    },
    flush(done) {
      rest += decoder.decode();
      done(null, rest === "" ? "" : mark([rest]));
    },
  });
}

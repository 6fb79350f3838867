/** PyTorch's analyser said `said` of the dumps recorded here; `npm run nightly -- torchfrtrace` asks it anew. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { mergeDumps, parseDump, toTorchPickles, verdictOf } from "../../src/trace/index.ts";
import { dumpsOf, TRACE_CASES } from "./cases.ts";

interface Recorded {
  readonly dumps: unknown[];
  readonly hashes: string[];
  readonly said: string[];
}

const RECORDED: Readonly<Record<string, Recorded>> = JSON.parse(
  readFileSync(new URL("torchfrtrace.json", import.meta.url), "utf8"),
);

/** Our own verdict of each. */
const VERDICTS: Readonly<Record<string, object>> = {
  healthy: { kind: "healthy", culprits: [] },
  "missing rank": { kind: "missing-rank", culprits: [2], waiting: [0, 1, 3] },
  "mismatch of counts": { kind: "mismatch", culprits: [1] },
  "mismatch of collectives": { kind: "mismatch", culprits: [1] },
  "mismatch of dtypes": { kind: "mismatch", culprits: [1] },
};

describe.each(TRACE_CASES)("the trace of: $name", (one) => {
  const { dumps, hashes, said } = RECORDED[one.name]!;
  const text = said.join("\n");

  it("is the pickles of which the analyser said the right thing", () => {
    expect(text).toMatch(new RegExp(one.says));
    if (one.never) expect(text).not.toMatch(new RegExp(one.never));
    const pickles = [...toTorchPickles(mergeDumps(dumps.map((dump) => parseDump(dump)))).values()];
    expect(pickles.map((bytes) => createHash("sha256").update(bytes).digest("hex"))).toEqual(hashes);
  });

  it("has the right verdict, recorded and made anew", async () => {
    expect(verdictOf(mergeDumps(dumps.map((dump) => parseDump(dump))))).toMatchObject(VERDICTS[one.name]!);
    const fresh = await dumpsOf(one);
    expect(verdictOf(mergeDumps(fresh))).toMatchObject(VERDICTS[one.name]!);
    // Nothing but times differs from what the analyser was given.
    const calls = (list: readonly unknown[]) =>
      list.map((dump) =>
        parseDump(dump).entries.map(
          ({ record, group, collective, sequence, read, written, dtypes, op, root, peer }) => ({
            ...{ record, group, collective, sequence, read, written, dtypes, op, root, peer },
          }),
        ),
      );
    expect(calls(fresh)).toEqual(calls(dumps));
  });
});

import { describe, expect, it } from "vitest";
import { pagesAndHub } from "./browser/pages-and-hub.ts";
import { rawServer } from "./browser/raw-server.ts";
import type { RawOutcome } from "./job.ts";

const MIB = 2 ** 20;
const TOKEN = "a token of this test";

describe("two pages at a hub", () => {
  const place = pagesAndHub(TOKEN);

  it("need at most 1.25 of the time that S up and S down take on raw WebSockets", { timeout: 60_000 }, async () => {
    const bytes = 8 * MIB;
    const times = 9;
    const url = await rawServer(2, bytes);
    const outcomes = await Promise.all(
      [0, 1].map((rank) => {
        const options = { initMethod: `${place.hub.url}/raw`, rank, worldSize: 2, token: TOKEN, timeoutMs: 20_000 };
        return place.pages.run<RawOutcome>({ raw: { url, bytes, times }, options }, { scripts: "'wasm-unsafe-eval'" });
      }),
    );
    const slower = (which: keyof RawOutcome) =>
      Array.from({ length: times }, (_, turn) => Math.max(...outcomes.map((outcome) => outcome[which][turn]!)));
    const [rawMs, hubMs] = [slower("rawMs"), slower("hubMs")];
    const ratio = median(hubMs.map((ms, turn) => ms / rawMs[turn]!));
    const rounded = [median(rawMs), median(hubMs)].map((ms) => ms.toFixed(0));
    console.log(`two pages, 8 MiB: raw ${rounded[0]} ms, hub allReduce ${rounded[1]} ms, ratio ${ratio.toFixed(2)}`);
    expect(ratio).toBeLessThanOrEqual(1.25);
  });
});

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

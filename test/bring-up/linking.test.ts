/** How a roster is linked, of drawn ranks and of very many: the same as by comparing every pair, with fewer comparisons. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clustersOf, linkBetween, slowestLink } from "../../src/bring-up/linking.ts";
import type { RosterEntry } from "../../src/bring-up/roster.ts";

const NONE = { inMemory: false, thread: null, tab: null, listenUrl: null, dataChannels: [], shares: [], maps: [] };
const SPEED = ["memory", "shared-memory", "mapped-memory", "shared-file", "message-port", "websocket", "webrtc", "hub"];

/** The ways in which a rank may be reachable; those in numbers need the other rank to have them, too. */
const rank = fc.constantFrom<Partial<RosterEntry>>(
  ...[NONE, { inMemory: true }, { thread: { job: "j", index: 0 } }, { tab: { room: "a", seat: 0 } }],
  ...[{ tab: { room: "b", seat: 0 } }, { listenUrl: "ws://192.0.2.1:1" }, { listenUrl: "ws://127.0.0.1:1" }],
  { listenUrl: "ws://192.0.2.1:1", shares: [0, 1, 2, 3, 4, 5] },
  { listenUrl: "ws://192.0.2.1:1", maps: [0, 1, 2, 3, 4, 5] },
  { dataChannels: [0, 1, 2, 3, 4, 5] },
);
const rosterOf = (offers: readonly Partial<RosterEntry>[]) =>
  offers.map((offer, i) => ({ ...NONE, hostId: `${i % 2}`, ...offer, rank: i }) as unknown as RosterEntry);

/** By comparing every pair. */
function expected(roster: readonly RosterEntry[]) {
  const kinds = roster.flatMap((a, i) => roster.slice(i + 1).map((b) => linkBetween(a, b)));
  const clusters: RosterEntry[][] = [];
  for (const member of roster) {
    const home = clusters.find((ranks) => ranks.every((other) => linkBetween(member, other) !== "hub"));
    if (home) home.push(member);
    else clusters.push([member]);
  }
  return {
    slowest: SPEED.findLast((kind) => kinds.some((one) => one === kind)) ?? "memory",
    clusters: clusters.map((ranks) => ranks.map((entry) => entry.rank)),
  };
}

/** Entries that count how often one of their fields is read. */
function counting(roster: readonly RosterEntry[]) {
  const reads = { count: 0 };
  const get = (entry: RosterEntry, field: string | symbol) => {
    reads.count++;
    return Reflect.get(entry, field);
  };
  return { reads, roster: roster.map((entry) => new Proxy(entry, { get })) };
}

describe("slowestLink() and clustersOf()", () => {
  it("are those of all pairs, on drawn rosters", () => {
    fc.assert(
      fc.property(fc.array(rank, { maxLength: 6 }), (offers) => {
        const roster = rosterOf(offers);
        expect({ slowest: slowestLink(roster), clusters: clustersOf(roster) }).toEqual(expected(roster));
      }),
    );
  });

  it("look at each of 1,000 ranks that have the hub alone a few times, and do not compare them in pairs", () => {
    const { reads, roster } = counting(rosterOf(Array.from({ length: 1_000 }, () => NONE)));
    expect(slowestLink(roster)).toBe("hub");
    expect(clustersOf(roster)).toHaveLength(1_000);
    expect(reads.count).toBeLessThan(20_000);
  });
});

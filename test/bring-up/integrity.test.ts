import { describe, expect, it } from "vitest";
import type { IntegrityWish } from "../../src/bring-up/init-options.ts";
import { hubHasChecksums, linkHasChecksums } from "../../src/bring-up/integrity.ts";
import type { RosterEntry } from "../../src/bring-up/roster.ts";
import { startHub } from "../../src/node/hub.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { withGroup } from "../conformance/harness.ts";
import { makeCertificate } from "../security/certificate.ts";

/** What two ranks say of themselves, and whether the frames between them have checksums. */
interface Row {
  readonly name: string;
  readonly kind: "websocket" | "hub" | "shared-file" | "mapped-memory" | "shared-memory" | "memory";
  readonly wishes: readonly [IntegrityWish, IntegrityWish];
  readonly hosts?: readonly [string, string];
  /** Of the lower rank, to which the higher one connects. */
  readonly url?: string;
  readonly listensThere?: boolean;
  readonly hubTls?: readonly [boolean, boolean];
  readonly checksums: boolean;
}

const DIRECT: readonly Row[] = [
  { name: "one host, directly", kind: "websocket", wishes: ["auto", "auto"], checksums: false },
  { name: "two hosts", kind: "websocket", wishes: ["auto", "auto"], hosts: ["a", "b"], checksums: true },
  { name: "hosts unknown", kind: "websocket", wishes: ["auto", "auto"], hosts: ["", ""], checksums: true },
  {
    name: "an address that was given",
    kind: "websocket",
    wishes: ["auto", "auto"],
    listensThere: false,
    checksums: true,
  },
  { name: "TLS", kind: "websocket", wishes: ["auto", "auto"], hosts: ["a", "b"], url: "wss://a:1", checksums: false },
  { name: "memory in common", kind: "mapped-memory", wishes: ["on", "on"], checksums: false },
  { name: "a file beside it", kind: "shared-file", wishes: ["on", "on"], checksums: false },
  { name: "threads", kind: "shared-memory", wishes: ["on", "on"], checksums: false },
  { name: "one thread", kind: "memory", wishes: ["on", "on"], checksums: false },
];
const RELAYED: readonly Row[] = [
  { name: "a hub", kind: "hub", wishes: ["auto", "auto"], checksums: true },
  { name: "a hub, TLS on one way", kind: "hub", wishes: ["auto", "auto"], hubTls: [true, false], checksums: true },
  { name: "a hub, TLS on both ways", kind: "hub", wishes: ["auto", "auto"], hubTls: [true, true], checksums: false },
];
/** The stricter of two wishes holds; without any, what suits the way. */
const WISHES: readonly Row[] = (["websocket", "hub"] as const).flatMap((kind) =>
  ([true, false] as const).flatMap((needed) => {
    const where = needed ? { hosts: ["a", "b"] as const } : { hubTls: [true, true] as const };
    const row = (wishes: Row["wishes"], checksums: boolean): Row => ({ name: kind, kind, wishes, checksums, ...where });
    return [
      ...[row(["on", "off"], true), row(["off", "on"], true), row(["on", "auto"], true), row(["auto", "on"], true)],
      // At a hub, a rank that says "off" beside one that does not has them on its whole connection.
      ...[row(["off", "off"], false), row(["off", "auto"], needed || kind === "hub")],
      row(["auto", "off"], needed || kind === "hub"),
    ];
  }),
);

function entryOf(row: Row, rank: 0 | 1): RosterEntry {
  const { wishes, hosts = ["a", "a"], url = "ws://127.0.0.1:1", listensThere = true, hubTls = [false, false] } = row;
  return {
    ...{ rank, runtime: "node", version: "", hostId: hosts[rank], listenUrl: rank === 0 ? url : "ws://127.0.0.1:2" },
    ...{
      inMemory: false,
      tab: null,
      thread: null,
      ...{ webrtc: null, dataChannels: [] },
      sharedFile: { missing: "" },
      shares: [],
      mappedMemory: { missing: "" },
      maps: [],
      arithmeticIds: ["1"],
    },
    ...{ cuda: { missing: "" }, segmentBytes: null, processId: "" },
    integrity: { wish: wishes[rank], hubTls: hubTls[rank], listensThere: rank === 1 || listensThere },
  };
}

describe("linkHasChecksums()", () => {
  it.each([...DIRECT, ...RELAYED, ...WISHES])("$name, wishes $wishes: $checksums", (row) => {
    const [a, b] = [entryOf(row, 0), entryOf(row, 1)];
    expect(linkHasChecksums(a, b, row.kind)).toBe(row.checksums);
    expect(linkHasChecksums(b, a, row.kind)).toBe(row.checksums);
  });
});

describe("hubHasChecksums()", () => {
  it("is as the rank says, else so without TLS", () => {
    const urls = ["ws://127.0.0.1:1", "wss://127.0.0.1:1"];
    const wishes = ["on", "off", "auto"] as const;
    expect(wishes.map((wish) => urls.map((url) => hubHasChecksums(wish, url)))).toEqual([
      [true, true],
      [false, false],
      [true, false],
    ]);
  });
});

describe("initProcessGroup({ integrity })", () => {
  /** What each rank of a group of two sees of the link to the other. */
  async function linksOf(transport: "websocket" | "hub", wishes: readonly (IntegrityWish | undefined)[]) {
    const hub = await startHub({ port: 0 });
    const ranks = wishes.map(async (wish, rank) => {
      const integrity = wish === "on" || wish === "off" ? { integrity: wish } : {};
      const options = { initMethod: `${hub.url}/wishes`, rank, worldSize: wishes.length, timeoutMs: 20_000 } as const;
      const group = await initProcessGroup({ ...options, transport, backend: "cpu", ...integrity });
      const sum = new Float32Array(1_000).fill(rank + 1);
      await group.allReduce(sum);
      const { checksums } = group.info().ranks[1 - rank]!;
      await group.destroy();
      return [checksums, sum[999]];
    });
    const seen = await Promise.all(ranks);
    await hub.close();
    return seen;
  }

  it.each([
    ["websocket", ["auto", "auto"], false],
    ["websocket", ["on", "auto"], true],
    ["websocket", ["off", "on"], true],
    ["websocket", ["off", "off"], false],
    ["hub", ["auto", "auto"], true],
    ["hub", ["off", "auto"], true],
    ["hub", ["auto", "off"], true],
    ["hub", ["on", "off"], true],
    ["hub", ["off", "off"], false],
  ] as const)(
    "over %s, wishes %s: checksums %s at both ends, and right results",
    async (transport, wishes, checksums) => {
      expect(await linksOf(transport, wishes)).toEqual([
        [checksums, 3],
        [checksums, 3],
      ]);
    },
  );

  it("has none over wss:// unless asked", async () => {
    const tls = makeCertificate();
    const seen = async (integrity?: "on") => {
      const [first] = await withGroup(
        "websocket",
        2,
        async (group) => group.info().ranks.map((rank) => rank.checksums),
        {
          listen: { tls },
          ...(integrity ? { integrity } : {}),
        },
      );
      return first;
    };
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    try {
      expect(await seen()).toEqual([false, false]);
      expect(await seen("on")).toEqual([false, true]);
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    }
  });

  it("refuses another word", async () => {
    const options = { initMethod: "memory://integrity", rank: 0, worldSize: 1, integrity: "maybe" as "on" };
    await expect(initProcessGroup(options)).rejects.toThrow('integrity is "maybe": use one of on, off');
  });
});

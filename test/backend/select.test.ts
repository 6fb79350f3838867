import { describe, expect, it } from "vitest";
import { addressableRows } from "../../src/algorithm/addressable/rows.ts";
import { areasRows } from "../../src/algorithm/areas/rows.ts";
import type { AlgorithmFamily } from "../../src/algorithm/rows.ts";
import { algorithmNames, type SelectQuery, selectAlgorithm, tableWith } from "../../src/backend/direct/select.ts";
import type { LinkKind } from "../../src/link/link.ts";

const FAMILIES: AlgorithmFamily[] = [
  "allReduce",
  "reduceScatter",
  "allGather",
  "broadcast",
  "reduce",
  "gather",
  "scatter",
  "allToAll",
  "barrier",
  "scan",
];

const TABLE = tableWith();
const THREADS = tableWith(addressableRows);
const AREAS = tableWith(areasRows);

function query(collective: AlgorithmFamily, changes: Partial<SelectQuery<AlgorithmFamily>> = {}) {
  return {
    collective,
    bytes: 1024,
    size: 4,
    link: "websocket",
    deterministic: false,
    commutative: true,
    sameArithmetic: true,
    hub: "clusters",
    custom: false,
    crowded: false,
    ...changes,
  } as SelectQuery<AlgorithmFamily>;
}

describe("selectAlgorithm()", () => {
  it("finds a row that keeps the promises of every call", () => {
    let calls = 0;
    for (const collective of FAMILIES)
      for (const bytes of [0, 1, 8192, 8193, 65536, 1048576, 1048577, 2 ** 33])
        for (const size of [1, 2, 3, 8, 9, 64, 1000])
          for (const link of ["memory", "shared-memory", "mapped-memory", "shared-file", "websocket", "hub"] as const)
            for (const deterministic of [false, true])
              for (const commutative of [false, true])
                for (const sameArithmetic of [false, true]) {
                  const row = selectAlgorithm(
                    TABLE,
                    query(collective, { bytes, size, link, deterministic, commutative, sameArithmetic }),
                  );
                  if (deterministic || !commutative) expect(row.rankOrder).toBe(true);
                  if (!sameArithmetic) expect(row.ownerComputes).toBe(true);
                  calls++;
                }
    expect(calls).toBe(10 * 8 * 7 * 6 * 8);
  });

  it("takes fewer steps for small tensors and fewer bytes for large ones", () => {
    const pick = (collective: AlgorithmFamily, bytes: number, size: number, link: LinkKind = "websocket") =>
      selectAlgorithm(TABLE, query(collective, { bytes, size, link })).algorithm;
    expect(pick("allReduce", 1024, 3)).toBe("direct");
    expect(pick("allReduce", 1024, 4)).toBe("doubling");
    expect(pick("allReduce", 2 ** 18, 2, "shared-file")).toBe("direct");
    expect(pick("allReduce", 2 ** 18 + 1, 2, "shared-file")).toBe("owner-direct");
    expect(pick("allReduce", 1024, 32)).toBe("doubling");
    expect(pick("allReduce", 2 ** 18, 3)).toBe("owner-direct");
    expect(pick("allReduce", 2 ** 18, 4)).toBe("doubling");
    expect(pick("allReduce", 2 ** 18 + 1, 32)).toBe("halving");
    expect(pick("allReduce", 2 ** 20, 4)).toBe("halving");
    expect(pick("allReduce", 2 ** 20 + 1, 4)).toBe("owner-direct");
    expect(pick("allReduce", 2 ** 26, 4)).toBe("owner-direct");
    expect(pick("allReduce", 2 ** 26, 5)).toBe("ring");
    expect(pick("allReduce", 2 ** 19, 2)).toBe("direct");
    expect(pick("allReduce", 2 ** 19 + 1, 2)).toBe("owner-direct");
    expect(pick("allReduce", 2 ** 26, 2, "hub")).toBe("owner-direct");
    expect(pick("allReduce", 64, 3, "hub")).toBe("two-level");
    expect(pick("broadcast", 1024, 8)).toBe("binomial");
    expect(pick("broadcast", 2 ** 26, 8)).toBe("scatter-all-gather");
    expect(pick("broadcast", 2 ** 26, 2)).toBe("binomial");
    expect(pick("broadcast", 64, 4)).toBe("direct");
    expect(pick("broadcast", 2 ** 23, 4)).toBe("direct");
    expect(pick("broadcast", 2 ** 23 + 1, 4)).toBe("scatter-all-gather");
    expect(pick("broadcast", 2 ** 19, 5)).toBe("binomial");
    expect(pick("broadcast", 2 ** 21, 5)).toBe("scatter-all-gather");
    expect(pick("reduceScatter", 2 ** 26, 4)).toBe("direct");
    expect(pick("reduceScatter", 2 ** 26, 5)).toBe("ring");
    expect(pick("reduce", 2 ** 26, 8)).toBe("reduce-scatter-gather");
    expect(pick("allGather", 1024, 32)).toBe("doubling");
    expect(pick("allGather", 2 ** 26, 4)).toBe("direct");
    expect(pick("allGather", 2 ** 26, 5)).toBe("ring");
  });

  it("takes the named one, whatever the size", () => {
    for (const table of [TABLE, THREADS, AREAS]) {
      for (const collective of FAMILIES) {
        for (const algorithm of algorithmNames(table, collective)) {
          for (const bytes of [0, 2 ** 33]) {
            const row = selectAlgorithm(table, query(collective, { bytes, algorithm, size: 100 }));
            expect(row.algorithm).toBe(algorithm);
          }
        }
      }
    }
  });

  it("takes areas for processes that have them, and neither elsewhere nor what threads have", () => {
    const processes = { size: 2, link: "shared-file" } as const;
    for (const [size, most] of [
      [2, 524_288],
      [4, 131_072],
      [5, 8192],
    ] as const) {
      const ofSize = { ...processes, size };
      expect(selectAlgorithm(AREAS, query("allReduce", { ...ofSize, bytes: most })).algorithm).toBe("areas-direct");
      expect(selectAlgorithm(AREAS, query("allReduce", { ...ofSize, bytes: most + 1 })).algorithm).toBe("areas");
    }
    expect(selectAlgorithm(AREAS, query("allReduce", { ...processes, sameArithmetic: false })).algorithm).toBe("areas");
    for (const collective of ["reduceScatter", "allGather", "broadcast", "reduce", "barrier"] as const) {
      for (const bytes of [0, 2 ** 33]) {
        expect(selectAlgorithm(AREAS, query(collective, { ...processes, bytes, deterministic: true })).algorithm).toBe(
          "areas",
        );
      }
    }
    expect(selectAlgorithm(TABLE, query("allReduce", processes)).algorithm).toBe("direct");
    expect(() => selectAlgorithm(TABLE, query("allReduce", { algorithm: "areas" }))).toThrow(/share files/);
    expect(() => selectAlgorithm(AREAS, query("allReduce", { ...processes, algorithm: "slots" }))).toThrow(
      /memory in common/,
    );
  });

  it("takes one pass over shared memory for threads, and slots up to 1 KiB, and neither elsewhere", () => {
    const threads = { size: 4, link: "shared-memory" } as const;
    expect(selectAlgorithm(THREADS, query("allReduce", { ...threads, bytes: 1024 })).algorithm).toBe("slots");
    expect(selectAlgorithm(THREADS, query("allReduce", { ...threads, bytes: 1025 })).algorithm).toBe("one-pass");
    const crowded = { ...threads, crowded: true } as const;
    expect(selectAlgorithm(THREADS, query("allReduce", { ...crowded, bytes: 524_288 })).algorithm).toBe("last");
    expect(selectAlgorithm(THREADS, query("allReduce", { ...crowded, bytes: 524_289 })).algorithm).toBe("one-pass");
    expect(selectAlgorithm(THREADS, query("allReduce", { ...threads, bytes: 64, deterministic: true })).rankOrder).toBe(
      true,
    );
    expect(selectAlgorithm(THREADS, query("broadcast", threads)).algorithm).toBe("pull");
    expect(() => selectAlgorithm(TABLE, query("allReduce", { algorithm: "one-pass" }))).toThrow(/memory in common/);
  });

  it("says of each name that a region brings what the region needs, where there is none", () => {
    for (const [rows, need] of [
      [addressableRows, /memory in common/],
      [areasRows, /share files/],
    ] as const) {
      for (const collective of FAMILIES) {
        for (const { algorithm } of rows[collective] ?? []) {
          expect(() => selectAlgorithm(TABLE, query(collective, { algorithm }))).toThrow(need);
        }
      }
    }
  });

  it("refuses a name that the collective does not have, and lists those it has", () => {
    expect(() => selectAlgorithm(TABLE, query("allReduce", { algorithm: "butterfly" }))).toThrow(
      new RangeError(
        'algorithm "butterfly": allReduce has no such algorithm; use one of two-level, hub, direct, doubling, halving, owner-direct, ring',
      ),
    );
  });

  it("refuses a fold that is not in rank order where the order matters, and lists those that are", () => {
    expect(() => selectAlgorithm(TABLE, query("allReduce", { algorithm: "ring", deterministic: true }))).toThrow(
      new RangeError(
        'algorithm "ring": deterministic mode needs one that folds in rank order; use one of hub, direct, owner-direct',
      ),
    );
    expect(() => selectAlgorithm(TABLE, query("reduce", { algorithm: "binomial", commutative: false }))).toThrow(
      new RangeError(
        'algorithm "binomial": an operation that is not commutative needs one that folds in rank order; use one of hub, direct, owner-direct',
      ),
    );
  });

  it("lets a hub fold where three or more ranks have only that, and nothing of a caller's own", () => {
    const relayed = (collective: AlgorithmFamily, changes: Partial<SelectQuery<AlgorithmFamily>> = {}) =>
      selectAlgorithm(TABLE, query(collective, { link: "hub", hub: "all", bytes: 2 ** 20, ...changes })).algorithm;
    for (const collective of ["allReduce", "broadcast", "reduce", "allGather", "barrier"] as const) {
      expect(relayed(collective)).toBe("hub");
      expect(relayed(collective, { size: 2 })).not.toBe("hub");
      expect(relayed(collective, { hub: "none" })).not.toBe("hub");
      expect(relayed(collective, { link: "websocket" })).not.toBe("hub");
    }
    expect(relayed("allReduce", { hub: "clusters" })).toBe("two-level");
    expect(relayed("allReduce", { hub: "clusters", deterministic: true })).toBe("hub");
    expect(relayed("allReduce", { custom: true })).toBe("owner-direct");
    const refused =
      (hub: "none" | "all", algorithm: string, custom = false) =>
      () =>
        relayed("allReduce", { hub, algorithm, custom });
    expect(refused("none", "hub")).toThrow(/the ranks are not all connected to one hub/);
    expect(refused("all", "two-level")).toThrow(/no two ranks are linked directly/);
    expect(refused("all", "hub", true)).toThrow(/runs no code of its callers'/);
  });

  it("refuses an algorithm whose ranks could come to different bits", () => {
    expect(() => selectAlgorithm(TABLE, query("allReduce", { algorithm: "doubling", sameArithmetic: false }))).toThrow(
      new RangeError(
        'algorithm "doubling": several ranks would compute the same element, and their arithmetic is not known to be equal; use one of two-level, hub, halving, owner-direct, ring',
      ),
    );
  });
});

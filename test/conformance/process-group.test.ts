import { describe, expect, it } from "vitest";
import {
  CASE_COLLECTIVES,
  CASE_COUNTS,
  CASE_OPS,
  CaseData,
  type CaseOp,
  conformanceCase,
  conformanceCases,
  isCase,
  opFits,
  PERSISTENT_CASES,
  pairwiseCover,
} from "../../src/testing/index.ts";
import { DATA_TYPES, type DataType } from "../../src/types.ts";
import { checkCases, TEST_TRANSPORTS, withMemoryGroups } from "./harness.ts";

const FACTORS = {
  transport: TEST_TRANSPORTS,
  size: [2, 3, 4, 5, 8],
  collective: CASE_COLLECTIVES,
  dtype: DATA_TYPES,
  op: [...CASE_OPS, null],
  count: CASE_COUNTS,
  persistent: [false, true],
} as const;

/** Which pairs of the cover make sense, each by the factors it names. */
function makesSense(pair: Readonly<Record<string, unknown>>): boolean {
  const { collective, dtype, op, persistent } = pair as {
    collective?: string;
    dtype?: DataType;
    op?: CaseOp | null;
    persistent?: boolean;
  };
  if (collective && persistent) return PERSISTENT_CASES.includes(collective);
  if (dtype && op) return opFits(op, dtype);
  if (collective === undefined) return true;
  return DATA_TYPES.some(
    (someType) =>
      (dtype === undefined || someType === dtype) &&
      FACTORS.op.some((someOp) => (op === undefined || someOp === op) && isCase(collective, someType, someOp, 8)),
  );
}

/** Cases of the cover per transport and number of ranks, so that each of these needs one group. */
const COVER = pairwiseCover(FACTORS, 20, makesSense);

/** At least 33 collectives × 14 dtypes, less the pairs that do not exist. */
const COVERED_CASES = 429;

describe("ProcessGroup", () => {
  let ran = 0;
  for (const transport of TEST_TRANSPORTS) {
    for (const size of FACTORS.size) {
      it(`runs a pairwise cover of everything over ${transport} with ${size} ranks`, { timeout: 60_000 }, async () => {
        const data = new CaseData();
        const rows = COVER.filter((row) => row.transport === transport && row.size === size);
        const cases = rows.map((row, index) => conformanceCase({ ...row, seed: index }, data));
        const now = await checkCases(transport, size, cases);
        expect(now).toBe(rows.length);
        expect(now).toBeGreaterThan(0);
        ran += now;
      });
    }
  }

  it("has run every case of the cover", () => {
    console.log(`process group conformance, pairwise cover: ${ran} cases`);
    expect(ran).toBe(COVERED_CASES);
  });

  for (const size of [1, 2, 3, 4, 5, 6, 7, 8]) {
    it(`runs every collective with ${size} ranks`, async () => {
      const filter = { size, seed: 100 + size, dtypes: ["i32", "f64", "u8"], counts: [1, 5, 33] } as const;
      const ops = ["sum", "max", "custom-ordered"] as const;
      const cases = [...conformanceCases({ ...filter, ops })];
      const expected =
        size === 1 ? CASE_COLLECTIVES.filter((name) => !/^sendRecv|^recvAny/.test(name)) : CASE_COLLECTIVES;
      expect(new Set(cases.map((one) => one.spec.collective))).toEqual(new Set(expected));
      expect(await checkCases("memory", size, cases)).toBe(cases.length);
    });
  }
});

describe("barrier()", () => {
  it("ends on no rank before the last has come", async () => {
    await withMemoryGroups(3, async (group, rank) => {
      const token = new Uint8Array(1);
      if (rank < 2) {
        const work = group.barrier();
        // Messages both ways while the barrier waits: had it not waited for rank 2, it would be done by now.
        for (let round = 0; round < 20; round++) {
          if (rank === 0) {
            await group.send(token, 1, { tag: 1 });
            await group.recv(token, 1, { tag: 2 });
          } else {
            await group.recv(token, 0, { tag: 1 });
            await group.send(token, 0, { tag: 2 });
          }
        }
        expect(work.isCompleted()).toBe(false);
        await group.send(token, 2, { tag: 3 });
        await work;
        expect(work.isSuccess()).toBe(true);
      } else {
        await group.recv(token, 0, { tag: 3 });
        await group.recv(token, 1, { tag: 3 });
        await group.barrier();
      }
    });
  });
});

describe("coalesce()", () => {
  it("makes one Work of the calls in it", async () => {
    await withMemoryGroups(3, async (group, rank) => {
      const sum = Int32Array.of(rank, 10);
      const copy = Float64Array.of(rank + 0.5);
      const work = group.coalesce(() => {
        group.allReduce(sum);
        group.broadcast(copy, { root: 2 });
      });
      await work;
      expect(work.isSuccess()).toBe(true);
      expect(sum).toEqual(Int32Array.of(3, 30));
      expect(copy).toEqual(Float64Array.of(2.5));
    });
  });
});

describe("newGroup()", () => {
  it("takes ranks in the order given, and maps them back", async () => {
    await withMemoryGroups(4, async (group, rank) => {
      const child = await group.newGroup([3, 1]);
      expect(child === null).toBe(rank % 2 === 0);
      if (!child) return;
      expect(child.rank).toBe(rank === 3 ? 0 : 1);
      expect(child.globalRanks).toEqual([3, 1]);
      const grandchild = await child.newGroup([1, 0]);
      expect(grandchild?.globalRanks).toEqual([1, 3]);
      const value = Int32Array.of(rank);
      await grandchild?.broadcast(value, { root: 0 });
      expect(value[0]).toBe(1);
      await grandchild?.destroy();
      await child.destroy();
    });
  });

  it("makes groups that work side by side with their parent", async () => {
    await withMemoryGroups(4, async (group, rank) => {
      const pair = await group.split(rank % 2, rank);
      const [all, half] = [Float32Array.of(1), Float32Array.of(1)];
      const works = [pair!.allReduce(half), group.allReduce(all), pair!.barrier(), group.barrier()];
      await Promise.all(works);
      expect([all[0], half[0]]).toEqual([4, 2]);
      await pair!.destroy();
    });
  });
});

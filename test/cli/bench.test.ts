import { describe, expect, it } from "vitest";
import { resultOf, sizesOf, slowest } from "../../src/cli/bench/report.ts";
import { BENCH_TABLE, benchRow, blockCount, foldOf, inputValue, reportedBytes } from "../../src/cli/bench/table.ts";
import { f8ToF32, f32ToF8 } from "../../src/executor/cpu/float8.ts";
import { gpuEnvironment } from "../helpers/gpu.ts";
import { webccl } from "./command.ts";

describe("webccl bench", () => {
  it("prints one JSON object with nothing wrong", async () => {
    const args = ["bench", "all_reduce", "-n", "2", "-b", "64", "-e", "4K", "-f", "8", "-w", "1", "-i", "4", "--json"];
    const { code, stdout } = await webccl(args);
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ collective: "all_reduce", ranks: 2, dtype: "f32", op: "sum", algorithm: "auto" });
    expect(report).toMatchObject({
      device: "cpu",
      transport: expect.any(String),
      runtime: `node ${process.versions.node}`,
    });
    const keys = [
      "collective",
      "ranks",
      "dtype",
      "op",
      "device",
      "transport",
      "runtime",
      "integrity",
      "algorithm",
      "results",
    ];
    expect(Object.keys(report)).toEqual(keys);
    expect(report.results.map(({ bytes, count, wrong }: never) => ({ bytes, count, wrong }))).toEqual([
      { bytes: 64, count: 16, wrong: 0 },
      { bytes: 512, count: 128, wrong: 0 },
      { bytes: 4096, count: 1024, wrong: 0 },
    ]);
    for (const { bytes, timeUs, algBwGBs, busBwGBs, extraRssBytes } of report.results) {
      expect(extraRssBytes).toBeGreaterThanOrEqual(0);
      expect(timeUs.min).toBeGreaterThan(0);
      expect([timeUs.min, timeUs.median, timeUs.p99, timeUs.max]).toEqual(
        [timeUs.min, timeUs.median, timeUs.p99, timeUs.max].sort((a, b) => a - b),
      );
      expect(algBwGBs).toBeCloseTo(bytes / timeUs.median / 1000, 9);
      expect(busBwGBs).toBe(algBwGBs);
    }
  });

  it.each(BENCH_TABLE.map((row) => row.name))("prints the table of %s with three ranks", async (name) => {
    const args = ["bench", name, "-n", "3", "-b", "1K", "-e", "16K", "-f", "16", "-w", "0", "-i", "2"];
    const { code, stdout, stderr } = await webccl(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [title, columns, units, ...rest] = stdout.trimEnd().split("\n");
    expect(title).toMatch(new RegExp(`^# ${name} · 3 ranks · node `));
    expect(columns!.split(/\s+/)).toEqual("# size count type redop root time algbw busbw #wrong".split(" "));
    expect(units).toContain("(GB/s)");
    const rows = rest.filter((line) => !line.startsWith("#")).map((line) => line.trim().split(/\s+/));
    expect(rows).toHaveLength(name === "barrier" ? 1 : 2);
    for (const row of rows) expect({ cells: row.length, wrong: row[8] }).toEqual({ cells: 9, wrong: "0" });
    expect(stdout).toContain("# Out of bounds values : 0 OK");
  });

  it.each(["coalesced", "persistent"])("compares %s calls with their like, and counts what is wrong", async (name) => {
    for (const more of [[], ["--threads"], ["--transport", "websocket"]]) {
      const { code, stdout } = await webccl(["bench", name, "-n", "2", "-i", "3", "-b", "800", "--json", ...more]);
      expect(code).toBe(0);
      const report = JSON.parse(stdout);
      expect(report).toMatchObject({ comparison: name, ranks: 2, device: "cpu" });
      expect(report.results).toEqual([
        {
          ...{ bytes: 800, wrong: 0 },
          ...{ firstUs: expect.any(Number), secondUs: expect.any(Number), ratio: expect.any(Number) },
        },
      ]);
    }
    const table = await webccl(["bench", name, "-n", "1", "-i", "1"]);
    expect(table.stdout).toMatch(new RegExp(`# ${name} · 1 ranks`));
    expect((await webccl(["bench", name, "-d", "f64"])).code).toBe(2);
  });

  it.each([
    ["i8", "sum"],
    ["u64", "bxor"],
    ["i16", "avg"],
    ["f16", "product"],
    ["bf16", "avg"],
    ["f8e4m3", "avg"],
    ["f8e5m2", "sum"],
    ["f64", "min"],
  ])("checks %s %s exactly", async (dtype, op) => {
    const args = [
      "bench",
      "reduce_scatter",
      "-n",
      "3",
      "-b",
      "8K",
      "-e",
      "8K",
      "-d",
      dtype,
      "-o",
      op,
      "-w",
      "0",
      "-i",
      "1",
    ];
    const { code, stdout } = await webccl([...args, "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ dtype, op, results: [{ wrong: 0 }] });
  });

  it("tells what readbacks cost, on GPUBuffers", async () => {
    const args = ["bench", "all_reduce", "-n", "2", "--device", "webgpu", "-b", "1K", "-e", "1K", "-w", "1", "-i", "3"];
    const { code, stdout } = await webccl([...args, "--algorithm", "ring", "--json"], gpuEnvironment());
    expect(code).toBe(0);
    const [result] = JSON.parse(stdout).results;
    // Two ranks on a ring: one message in each of its two phases.
    expect(result).toMatchObject({ wrong: 0, mapAsyncCalls: 2 });
    expect(result.mapWaitUs).toBeGreaterThan(0);
    expect(result.exposedReadbackUs).toBeLessThanOrEqual(result.mapWaitUs);
    expect(result.exposedReadbackUs).toBeGreaterThanOrEqual(0);
  });

  it("says what the ranks said when they fail", async () => {
    const { code, stdout, stderr } = await webccl(["bench", "all_reduce", "-n", "2", "--algorithm", "teleport"]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain('RangeError: algorithm "teleport"');
  });
});

describe("sizesOf()", () => {
  const range = { minBytes: 4, maxBytes: 300, factor: 4, dtype: "f32", ranks: 4 } as const;

  it("multiplies up to the largest size", () => {
    expect(sizesOf(range, benchRow("all_reduce"))).toEqual([4, 16, 64, 256]);
  });

  it("leaves out sizes with the same count, and has one for barrier", () => {
    expect(sizesOf(range, benchRow("all_gather"))).toEqual([4, 64, 256]);
    expect(sizesOf(range, benchRow("barrier"))).toEqual([4]);
  });
});

describe("bandwidths", () => {
  const factors = {
    all_reduce: 1.5,
    all_gather: 0.75,
    reduce_scatter: 0.75,
    gather: 0.75,
    scatter: 0.75,
    all_to_all: 0.75,
  };

  it.each(BENCH_TABLE.map((row) => row.name))("of %s are nccl-tests' for 4 ranks", (name) => {
    const row = benchRow(name);
    const count = blockCount(row, 4_000_000, 4, 4);
    const result = resultOf(row, count, [900, 1000, 1100], 0, { dtype: "f32", ranks: 4 });
    if (name === "barrier") expect(result).toMatchObject({ bytes: 0, algBwGBs: 0, busBwGBs: 0 });
    else {
      expect(result).toMatchObject({ bytes: 4_000_000, algBwGBs: 4, timeUs: { min: 900, median: 1000, max: 1100 } });
      expect(result.busBwGBs).toBe(4 * (factors[name as keyof typeof factors] ?? 1));
    }
    expect(reportedBytes(row, count, 4, 4)).toBe(result.bytes);
  });

  it("take the slowest rank of each run", () => {
    expect(
      slowest([
        [1, 9, 2],
        [3, 4, 5],
      ]),
    ).toEqual([3, 9, 5]);
  });
});

describe("inputValue()", () => {
  it.each([2, 3, 8, 85])("has sums, products and means that every dtype holds with %i ranks", (ranks) => {
    const floats = ["sum", "product", "min", "max"] as const;
    for (const [dtype, ops, isHeld] of [
      ["bf16", [...floats, "avg", "band", "bor", "bxor"], (result: number) => Number.isInteger(result) && result < 256],
      ["f8e5m2", floats, (result: number) => f8ToF32("f8e5m2", f32ToF8("f8e5m2", result)) === result],
    ] as const) {
      for (const op of ops) {
        const value = inputValue(op, ranks, dtype);
        const results = Array.from({ length: 1021 }, (_, index) =>
          foldOf(op, ranks, null)((rank) => value(rank, 1, index)),
        );
        expect(results.every((result) => result >= 0 && isHeld(result))).toBe(true);
        expect(new Set(results).size).toBeGreaterThan(1);
      }
    }
  });
});

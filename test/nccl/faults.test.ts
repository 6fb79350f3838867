import type { ChildProcess } from "node:child_process";
import { describe, expect, it } from "vitest";
import { outputs } from "../../native-nccl/scripts/build.js";
import { HALF_ON_NCCL, runRanks } from "./stand-in.ts";

const TIMEOUT_MS = 120_000;

describe("backend nccl when something fails", { timeout: TIMEOUT_MS }, () => {
  it("rejects different calls on every rank with one MismatchError, and the group is dead", async () => {
    for (const report of await runRanks("mismatch", 3)) {
      expect(report).toMatchObject({ error: "MismatchError", field: "count", later: { error: "MismatchError" } });
      expect(report?.message).toMatch(/rank 0 called allReduce\(f32, count 1000, op sum\), rank \d called/);
      expect(report?.ms).toBeLessThan(1000);
    }
  });

  it("finds lengths that only two ranks know of", async () => {
    const [root] = await runRanks("lengths", 3);
    expect(root).toMatchObject({ error: "MismatchError", field: "count" });
    expect(root?.message).toMatch(/rank 1 sent 12 bytes where rank 0 expected 20/);
    expect(root?.ms).toBeLessThan(1000);
  });

  it("names a killed rank within two seconds", async () => {
    let killedAt = 0;
    const kill = (rank: number, child: ChildProcess) => {
      if (rank !== 1) return;
      child.stdout?.once("data", () => {
        killedAt = performance.now();
        child.kill("SIGKILL");
      });
    };
    const reports = await runRanks("loop", 3, { onStart: kill });
    expect(killedAt).toBeGreaterThan(0);
    expect(reports[1]).toBe(null);
    for (const rank of [0, 2]) {
      expect(reports[rank]).toMatchObject({ error: "PeerLostError", peer: 1, later: { error: "PeerLostError" } });
      expect(reports[rank]?.ms).toBeLessThan(2000);
    }
  });

  it("times out where a rank does not come, and names it", async () => {
    const reports = await runRanks("late", 3);
    for (const report of reports) {
      expect(report?.error).toBe("TimeoutError");
      expect(report?.message).toMatch(/missing: rank 1/);
      expect(report?.ms).toBeLessThan(1500);
    }
  });

  it("times out where NCCL hangs, and ends the communicator", async () => {
    const env = { WEBCCL_STANDIN_HANG_AT: "7", TIMEOUT_MS: "2500" };
    for (const report of await runRanks("loop", 2, { env })) {
      expect(report).toMatchObject({ error: "TimeoutError", done: 6, later: { error: "TimeoutError" } });
      expect(report?.ms).toBeLessThan(5000);
    }
  });

  it("passes on an error that NCCL finds later", async () => {
    const reports = await runRanks("loop", 2, { envOf: { 0: { WEBCCL_STANDIN_ERROR_AT: "7" } } });
    for (const report of reports) {
      expect(report).toMatchObject({ error: "AbortedError", done: 6 });
      // Rank 0 ends its communicator, by which NCCL finds an error at rank 1 too; either may tell the group first.
      expect(report?.message).toMatch(/rank [01] failed: NCCL found an error: remote process exited/);
    }
  });

  it("times out where no communicator comes to be", async () => {
    const env = { WEBCCL_STANDIN_INIT_HANGS: "1", TIMEOUT_MS: "2500" };
    for (const report of await runRanks("loop", 2, { env })) {
      expect(report).toMatchObject({ error: "TimeoutError", done: 0 });
      expect(report?.ms).toBeLessThan(5000);
    }
  });
});

describe("a group that is on NCCL in part, when something fails", { timeout: TIMEOUT_MS }, () => {
  const env = { BACKEND: "auto" };

  it.each([
    ["one on NCCL", 1],
    ["one behind the hub", 3],
  ])("names a killed rank within two seconds: %s", async (_, victim) => {
    const kill = (rank: number, child: ChildProcess) => {
      if (rank === victim) child.stdout?.once("data", () => child.kill("SIGKILL"));
    };
    const reports = await runRanks("loop", 4, { env, envOf: HALF_ON_NCCL, onStart: kill });
    expect(reports[victim]).toBe(null);
    for (const report of reports.filter((one) => one !== null)) {
      expect(report).toMatchObject({ error: "PeerLostError", peer: victim, later: { error: "PeerLostError" } });
      expect(report.ms).toBeLessThan(2000);
    }
  });

  it("rejects different calls on every rank with one MismatchError, and the group is dead", async () => {
    for (const report of await runRanks("mismatch", 4, { env, envOf: HALF_ON_NCCL })) {
      expect(report).toMatchObject({ error: "MismatchError", field: "count", later: { error: "MismatchError" } });
    }
  });

  it("times out where NCCL hangs", async () => {
    const hangs = { ...env, WEBCCL_STANDIN_HANG_AT: "9", TIMEOUT_MS: "2500" };
    for (const report of await runRanks("loop", 4, { env: hangs, envOf: HALF_ON_NCCL })) {
      expect(report).toMatchObject({ error: "TimeoutError", later: { error: "TimeoutError" } });
      expect(report?.ms).toBeLessThan(5000);
    }
  });
});

describe("messages of CUDA memory", { timeout: TIMEOUT_MS }, () => {
  it.each([
    ["before it has received", "abandoned"],
    ["while NCCL sends", "interrupted"],
  ])("reject when their peer is killed %s", async (_, task) => {
    const kill = (rank: number, child: ChildProcess) => {
      if (rank === 1) child.stdout?.once("data", () => child.kill("SIGKILL"));
    };
    const env = task === "interrupted" ? { WEBCCL_STANDIN_HANG_AT: "1" } : {};
    const [report] = await runRanks("messageToOne", 2, { env: { TASK: task, ...env }, onStart: kill });
    expect(report).toMatchObject({ error: "PeerLostError", peer: 1 });
    expect(report?.ms).toBeLessThan(4000);
  });
});

describe("backend auto and nccl", { timeout: TIMEOUT_MS }, () => {
  it("is nccl where every rank can", async () => {
    for (const report of await runRanks("start", 2, { env: { BACKEND: "auto" } })) {
      expect(report).toMatchObject({ sum: 3, backendName: "nccl" });
      expect(report?.nccl).toMatch(/every rank has a CUDA device/);
    }
  });

  it("goes on without where one rank cannot, and says on all which and why", async () => {
    const env = { BACKEND: "auto" };
    const missing = { LD_LIBRARY_PATH: "" };
    for (const report of await runRanks("start", 2, { env, envOf: { 1: missing } })) {
      expect(report).toMatchObject({ sum: 3, backendName: "direct", notes: [] });
      expect(report?.nccl).toMatch(/rank 1 has no NCCL: libnccl.so.2 could not be opened.*Install NCCL/);
    }
  });

  it("needs a device for each rank of a host", async () => {
    const env = { BACKEND: "auto", WEBCCL_STANDIN_DEVICES: "1" };
    for (const report of await runRanks("start", 2, { env })) {
      expect(report).toMatchObject({ sum: 3, backendName: "direct" });
      expect(report?.nccl).toMatch(/rank 1 has no CUDA device of its own/);
    }
  });

  it.each([
    ["no library", { LD_LIBRARY_PATH: "" }, /libnccl.so.2 could not be opened.*libnccl2/],
    ["an old one", { WEBCCL_STANDIN_NCCL_VERSION: "20908" }, /NCCL 2\.9\.8 .* is too old/],
    ["one without a symbol", { WEBCCL_LIBNCCL: "incomplete" }, /has no ncclReduceScatter/],
    ["no device", { WEBCCL_STANDIN_DEVICES: "0" }, /no CUDA device/],
    ["deterministic", { DETERMINISTIC: "1" }, /deterministic: true is not for backend "nccl"/],
  ])("with nccl and %s ends in an UnsupportedError that helps", async (_, variables, message) => {
    const env: Record<string, string> = { BACKEND: "nccl", ...variables };
    if (env.WEBCCL_LIBNCCL) env.WEBCCL_LIBNCCL = outputs().incomplete;
    const [report] = await runRanks("start", 1, { env });
    expect(report?.error).toBe("UnsupportedError");
    expect(report?.message).toMatch(message);
  });

  it("takes a library of NCCL 2.10, without PREMUL_SUM and without settings", async () => {
    const env = { BACKEND: "nccl", WEBCCL_STANDIN_NCCL_VERSION: "21003" };
    for (const report of await runRanks("start", 2, { env })) {
      expect(report).toMatchObject({ sum: 3, premul: 9, backendName: "nccl" });
    }
  });
});

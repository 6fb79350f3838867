import { describe, expect, it } from "vitest";
import { runRanks } from "./stand-in.ts";

const TIMEOUT_MS = 120_000;

async function run(task: string, env: Record<string, string> = {}) {
  const [report] = await runRanks(task, 1, { program: "lists", sanitize: true, env });
  return report;
}

describe("calls of @webccl/nccl over lists, under AddressSanitizer", { timeout: TIMEOUT_MS }, () => {
  it("refuse every wrong argument at every place before any device launches", async () => {
    const report = await run("badLists");
    console.log(`calls over lists: ${report?.refused} wrong arguments were refused`);
    expect(report?.wrong).toEqual([]);
    // 5 calls, on given and on cached communicators, at 3 places: 23 tensors, 3 streams, 6 communicators at least.
    expect(report?.refused).toBeGreaterThan(5 * 2 * 3 * 32);
  });

  it("end all communicators where NCCL refuses on one device, and make new ones for the next call", async () => {
    const report = await run("failure", { WEBCCL_STANDIN_FAIL_AT: "2" });
    expect(report).toMatchObject({ wrong: [], moreLanes: 0 });
    // Whichever device tells first: the one that NCCL refused, or one that waited for it.
    const cause = /internal error|remote process exited/;
    expect(report?.message).toMatch(cause);
    const [first, second, third] = (report?.outcomes ?? []) as string[];
    expect(first).toBe("resolved");
    expect(second).toMatch(cause);
    expect(third).toMatch(/the Communicator at 0 has ended: /);
  });

  it("reduce 8-bit floats", async () => {
    // 1 + 1 + 1; half of 0.5, three times; 0x38383838 twice, three times.
    expect(await run("float8")).toMatchObject({
      e4m3: "44444444",
      e5m2: "3a3a3a3a",
      moved: "38383838",
      factor: "51515150",
    });
  });

  it("say which NCCL and which device reduce 8-bit floats, and move them on all", async () => {
    const older = await run("float8", { WEBCCL_STANDIN_NCCL_VERSION: "22304" });
    const refusal = (dtype: string) => `TypeError: NCCL 2.23.4 has no ${dtype}: 2.24 or later reduces it`;
    expect(older).toMatchObject({ e4m3: refusal("f8e4m3"), e5m2: refusal("f8e5m2"), moved: "38383838" });
    expect(older?.made).toBe("NCCL 2.23.4 has no f8e5m2: 2.24 or later reduces it");
    const ada = await run("float8", { WEBCCL_STANDIN_CAPABILITY: "89" });
    expect(ada?.e4m3).toBe("TypeError: device 0 has compute capability 8.9, and NCCL reduces f8e4m3 from 9.0 on");
    expect(ada?.moved).toBe("38383838");
  });

  it("say which NCCL has operations with a factor", async () => {
    const oldest = await run("float8", { WEBCCL_STANDIN_NCCL_VERSION: "21003" });
    expect(oldest?.factor).toBe("TypeError: NCCL 2.10.3 has no operation with a factor: 2.11 or later has it");
  });
});

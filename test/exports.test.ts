import { describe, expect, it } from "vitest";
import * as browser from "../src/browser/index.ts";
import * as bun from "../src/bun/index.ts";
import * as deno from "../src/deno/index.ts";
import * as node from "../src/node/index.ts";
import { spawnRanks, UnsupportedError } from "../src/node/index.ts";

describe("the entries of the runtimes", () => {
  it("export the same names", () => {
    expect(Object.keys(node).length).toBeGreaterThan(20);
    expect(Object.keys(browser).sort()).toEqual(Object.keys(node).sort());
    expect(Object.keys(deno).sort()).toEqual(Object.keys(node).sort());
    expect(Object.keys(bun).sort()).toEqual(Object.keys(node).sort());
  });

  it("reject what a runtime cannot do, and say what it can", async () => {
    expect(() => new browser.FileStore()).toThrow(UnsupportedError);
    expect(() => new browser.WorkerServer()).toThrow(UnsupportedError);
    expect(() => new browser.RedisStore()).toThrow(UnsupportedError);
    await expect(browser.TcpStore.listen()).rejects.toThrow(UnsupportedError);
    await expect(browser.TcpStore.connect()).rejects.toThrow(UnsupportedError);
    await expect(spawnRanks(2, "rank.js")).rejects.toThrow(/webccl run --threads/);
    await expect(deno.spawnRanks(2, "rank.js")).rejects.toThrow(UnsupportedError);
  });
});

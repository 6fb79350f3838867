/** A process ends when its program has: open connections and timeouts do not keep it, calls that are pending do. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { webccl } from "../cli/command.ts";

const PROGRAM = fileURLToPath(new URL("./programs/ending.mjs", import.meta.url));

const lines = (text: string) => text.split("\n").filter((line) => line !== "");
const warnings = (stderr: string) => lines(stderr).filter((line) => line.includes("webccl warning"));

/** The warning of each of these ranks. */
const forgotten = (ranks: readonly number[]) =>
  ranks.map((rank) =>
    expect.stringMatching(new RegExp(`rank ${rank}: the program ends without leaving group "default"`)),
  );

describe("a rank that forgets destroy()", () => {
  it.each([
    ["processes that share files", ["-n", "3"], "shared-file"],
    ["processes that map memory", ["-n", "3"], "mapped-memory"],
    ["processes with sockets", ["-n", "3"], "websocket"],
    ["ranks that a hub relays", ["-n", "3"], "hub"],
    ["threads", ["-n", "3", "--threads"], "shared-memory"],
    ["processes of Deno", ["-n", "2", "--deno", "2"], "websocket"],
    ["Node and Deno", ["-n", "2", "--deno", "1"], "auto"],
  ])("ends all the same, with one warning: %s", { timeout: 30_000 }, async (_, flags, transport) => {
    const { code, stdout, stderr } = await webccl(["run", ...flags, PROGRAM, "forgets", transport]);
    const ranks = Array.from({ length: Number(flags[1]) }, (_, rank) => rank);
    expect(lines(stdout).sort()).toEqual(ranks.map((rank) => `[${rank}] rank ${rank} is done`));
    expect(warnings(stderr).sort()).toEqual(forgotten(ranks));
    expect(code).toBe(0);
  });

  it.each(["mapped-memory", "shared-file", "websocket", "hub", "shared-memory"])(
    "stays while a call is pending: %s",
    { timeout: 30_000 },
    async (transport) => {
      const threads = transport === "shared-memory" ? ["--threads"] : [];
      const { code, stdout } = await webccl(["run", "-n", "2", ...threads, PROGRAM, "pending", transport]);
      expect({ code, stdout }).toEqual({ code: 0, stdout: "[1] received 7\n" });
    },
  );

  it("keeps the hub that it hosts until the others have left", { timeout: 30_000 }, async () => {
    const { code, stdout, stderr } = await webccl(["run", "-n", "3", PROGRAM, "host", "hub"]);
    expect(lines(stdout).sort()).toEqual(["[1] sum 3", "[2] sum 3"]);
    expect(warnings(stderr)).toEqual(forgotten([0]));
    expect(code).toBe(0);
  });
});

describe("a process with groups in memory", () => {
  it.each([
    ["memory, destroyed", 0],
    ["memory, forgotten", 2],
    ["memory, waiting for nothing", 2],
  ])("ends when nothing is left to do: %s", { timeout: 30_000 }, (scene, warned) => {
    // Their timeouts are 60 s.
    const options = { encoding: "utf8", timeout: 20_000 } as const;
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, scene], options);
    expect({ status, signal, stdout }).toEqual({ status: 0, signal: null, stdout: "done\n" });
    expect(warnings(stderr)).toHaveLength(warned);
  });
});

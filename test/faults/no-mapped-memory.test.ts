/** Ranks of one host that cannot all map memory share files, and say why. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { freePort } from "../helpers/free-port.ts";

const PROGRAM = fileURLToPath(new URL("./programs/shared-files.mjs", import.meta.url));

/** What each of two ranks printed, of which the second is started by the shell command `second`. */
async function pairWith(second: string): Promise<Record<string, unknown>[]> {
  const port = await freePort();
  return Promise.all(
    ['exec "$0" "$1"', second].map(async (command, rank) => {
      const child = spawn("sh", ["-c", command, process.execPath, PROGRAM], {
        env: { ...process.env, RANK: `${rank}`, WORLD_SIZE: "2", MASTER_PORT: `${port}` },
        stdio: ["ignore", "pipe", "inherit"],
      });
      let said = "";
      child.stdout.on("data", (chunk) => {
        said += chunk;
      });
      const [code] = await once(child, "close");
      expect(code).toBe(0);
      return JSON.parse(said);
    }),
  );
}

describe("a rank of a host that maps memory", () => {
  it("is joined by it to another one", { timeout: 30_000 }, async () => {
    const said = await pairWith('exec "$0" "$1"');
    for (const { links, mappedMemory, right } of said) {
      expect(links).toContain("mapped-memory");
      expect(mappedMemory).toMatch(/^with rank [01], through /);
      expect(right).toBe(true);
    }
  });

  it.each([
    ["has no FFI", 'WEBCCL_FFI=none exec "$0" "$1"', /WEBCCL_FFI is "none"/],
    ["may not make so long a file", 'ulimit -f 2000000; exec "$0" "$1"', /ulimit -f allows files of \d+ bytes/],
    [
      "counts its processes apart",
      'exec unshare --user --map-root-user --pid --fork "$0" "$1"',
      /\/proc\/\d+\/fd\/\d+/,
    ],
  ])("shares files with one that %s", { timeout: 30_000 }, async (_, second, reason) => {
    const said = await pairWith(second);
    for (const { links, mappedMemory, right } of said) {
      expect(links).toContain("shared-file");
      expect(mappedMemory).toMatch(reason);
      expect(right).toBe(true);
    }
    expect(said[0]!.mappedMemory).toMatch(/^rank 1 does not: /);
  });
});

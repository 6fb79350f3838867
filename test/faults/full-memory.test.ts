import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const run = promisify(execFile);

/** Two ranks in a namespace of their own, in which `mount` decides what /dev/shm is; what each printed. */
async function ranksWith(mount: string): Promise<Record<string, unknown>[]> {
  const command = `${mount} && exec "$0" "$1" run -n 2 "$2"`;
  const program = [process.execPath, path("../../dist/cli/main.js"), path("programs/shared-files.mjs")];
  const env = { ...process.env, MASTER_PORT: "", WEBCCL_FFI: "none" };
  const namespace = ["--user", "--map-root-user", "--mount", "sh", "-c", command];
  const { stdout } = await run("unshare", [...namespace, ...program], { env });
  return stdout
    .split("\n")
    .filter((line) => line.includes("{"))
    .map((line) => JSON.parse(line.slice(line.indexOf("{"))));
}

describe("ranks of one host that cannot call the C library", () => {
  it("say that /dev/shm is full, and use WebSockets", { timeout: 60_000 }, async () => {
    const outcomes = await ranksWith("mount -t tmpfs -o size=256k tmpfs /dev/shm");
    expect(outcomes).toHaveLength(2);
    for (const { links, sharedFile, warnings, right } of outcomes) {
      expect(links).toContain("websocket");
      expect(sharedFile).toMatch(/\/dev\/shm has no room for \d+ bytes: ENOSPC/);
      expect((warnings as string[]).join()).toMatch(/does not share files, and uses WebSockets instead: .*ENOSPC/);
      expect(right).toBe(true);
    }
  });

  it("say that there is no tmpfs, and use WebSockets", { timeout: 60_000 }, async () => {
    const outcomes = await ranksWith("mount --bind /usr /dev/shm");
    expect(outcomes).toHaveLength(2);
    for (const { links, sharedFile, right } of outcomes) {
      expect(links).toContain("websocket");
      expect(sharedFile).toMatch(/\/dev\/shm is no tmpfs/);
      expect(right).toBe(true);
    }
  });

  it("share files where there is room", { timeout: 60_000 }, async () => {
    const outcomes = await ranksWith("mount -t tmpfs -o size=8m tmpfs /dev/shm");
    expect(outcomes).toHaveLength(2);
    for (const { links, right } of outcomes) {
      expect(links).toContain("shared-file");
      expect(right).toBe(true);
    }
  });
});

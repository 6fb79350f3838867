/** In a worker of node:cluster a listening port belongs to the primary, unless it is exclusive. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { freePort } from "../helpers/free-port.ts";
import { outputOf } from "../helpers/output-of.ts";

const PROGRAM = fileURLToPath(new URL("./programs/clustered.mjs", import.meta.url));

describe("workers of node:cluster", () => {
  it.each(["websocket", "shared-file", "mapped-memory", "hub"])(
    "are ranks like others: %s",
    { timeout: 60_000 },
    async (transport) => {
      const place = { WORLD_SIZE: "3", MASTER_PORT: `${await freePort()}`, TRANSPORT: transport };
      const output = await outputOf({ command: process.execPath, args: [PROGRAM], env: { ...process.env, ...place } });
      const link = (rank: number) => [0, 1, 2].map((other) => (other === rank ? "self" : transport)).join(" ");
      expect(output.trim().split("\n").sort()).toEqual([0, 1, 2].map((rank) => `${rank}: 3 by ${link(rank)}`));
    },
  );
});

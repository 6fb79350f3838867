import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { standInEnvironment } from "./stand-in.ts";

const deno = fileURLToPath(new URL("../../node_modules/.bin/deno", import.meta.url));
const program = fileURLToPath(new URL("programs/deno.mjs", import.meta.url));

describe("the addon in Deno", { timeout: 120_000 }, () => {
  it("reduces over three devices of one process", () => {
    const env = { ...process.env, ...standInEnvironment(), DENO_NO_UPDATE_CHECK: "1" };
    const printed = execFileSync(deno, ["run", "--allow-all", "--no-config", program], { env, encoding: "utf8" });
    expect(JSON.parse(printed)).toEqual({ version: 22_707, sum: [3, 6, 9, 12], deviceMemories: 0 });
  });
});

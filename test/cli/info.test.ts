import { describe, expect, it } from "vitest";
import { webccl } from "./command.ts";

describe("webccl info", () => {
  it("prints what is here as JSON", async () => {
    const { code, stdout, stderr } = await webccl(["info", "--json"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const info = JSON.parse(stdout);
    const keys = ["webccl", "runtime", "system", "cpu", "transports", "typeScript", "hostId", "missing"];
    expect(Object.keys(info)).toEqual(keys);
    expect(info).toMatchObject({
      runtime: `node ${process.versions.node}`,
      cpu: { description: "wasm-simd" },
      missing: [],
    });
    expect(info.transports).toContain("websocket");
  });

  it("prints it as text", async () => {
    const { stdout } = await webccl(["info"]);
    expect(stdout).toMatch(new RegExp(`^runtime +node ${process.versions.node}$`, "m"));
  });
});

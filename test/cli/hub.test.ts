import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { QUOTA_FLAGS, quotaOptions } from "../../src/cli/quota-flags.ts";
import { UsageError } from "../../src/cli/usage.ts";
import { quotasOf } from "../../src/hub/quotas.ts";
import { HubStore } from "../../src/store/hub-store.ts";
import { hostile } from "../hub/hostile.ts";
import { joinConnection } from "../hub/support.ts";
import { program, start, webccl } from "./command.ts";

describe("webccl hub", () => {
  it("prints its address, listens, and closes on SIGTERM", async () => {
    const hub = start(["hub", "--port", "0"]);
    const [, port] = await hub.printed(/^ws:\/\/127\.0\.0\.1:(\d+)\n/);
    const socket = connect(Number(port), "127.0.0.1");
    await once(socket, "connect");
    socket.destroy();
    hub.process.kill("SIGTERM");
    expect(await hub.ended).toMatchObject({ code: 0, stderr: "" });
  });

  it("says to whoever opens it what it is, and what a rank needs", async () => {
    const hub = start(["hub", "--port", "0", "--origin", "https://example.org"], { WEBCCL_TOKEN: "a secret" });
    const [lines, url] = await hub.printed(/^(ws:.*)\n(?:.*\n)+? {2}pages.*\n/);
    expect(lines).toContain("token    needed");
    expect(lines).toContain(`initProcessGroup({ initMethod: "${url}/my-group", worldSize: 2, token })`);
    expect(lines).toContain("pages    those of https://example.org");
    const page = await fetch(url!.replace("ws:", "http:"));
    expect(page.status).toBe(200);
    expect(await page.text()).toContain(`${url}/my-group`);
    hub.process.kill("SIGTERM");
    expect(await hub.ended).toMatchObject({ code: 0, stderr: "" });
  });

  it("is where the ranks of webccl run --hub meet, if they hold its token", async () => {
    const hub = start(["hub", "--port", "0"], { WEBCCL_TOKEN: "the right one" });
    const [, url] = await hub.printed(/^(ws:.*)\n/);
    const run = (token: string) =>
      webccl(["run", "-n", "2", "--hub", `${url}/job`, program("sum.ts")], { WEBCCL_TOKEN: token });
    const admitted = await run("the right one");
    expect({ code: admitted.code, lines: admitted.stdout.trim().split("\n").sort() }).toEqual({
      code: 0,
      lines: ["[0] sum 3", "[1] sum 3"],
    });
    const refused = await run("a wrong one");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("AdmissionError");
    expect(refused.stderr).not.toContain("a wrong one");
    hub.process.kill("SIGTERM");
    expect((await hub.ended).code).toBe(0);
  });

  it("takes the token from a file, and prints it nowhere", async () => {
    const folder = mkdtempSync(join(tmpdir(), "webccl-hub-"));
    const file = join(folder, "token");
    writeFileSync(file, "a secret of the test\n");
    try {
      const hub = start(["hub", "--port", "0", "--token-file", file]);
      await hub.printed(/ws:/);
      hub.process.kill("SIGINT");
      const { code, stdout, stderr } = await hub.ended;
      expect(code).toBe(0);
      expect(stdout + stderr).not.toContain("a secret");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("refuses a quota that is none, whichever it is", () => {
    for (const { flag, unit } of QUOTA_FLAGS) {
      const name = flag.slice(2).replace(/-./g, (text) => text[1]!.toUpperCase());
      const wrong = unit === "bytes" ? [0, -1, "many", "1.5T", true, [1, 2]] : [0, -1, 1.5, "64M", true, [1, 2]];
      for (const value of wrong) expect(() => quotaOptions({ [name]: value }), flag).toThrow(UsageError);
      expect(() => quotaOptions({ [name]: 7 })).not.toThrow();
    }
  });

  it("has a flag for every quota, each in its help with its default, and each is obeyed", async () => {
    const { stdout } = await webccl(["hub", "--help"]);
    for (const { flag, description } of QUOTA_FLAGS)
      expect(stdout).toMatch(new RegExp(`${flag} <.*${description.slice(0, 12)}`));
    const named = new Set(QUOTA_FLAGS.map(({ quota }) => quota));
    expect(named).toEqual(new Set([...Object.keys(quotasOf()), "maxMessageBytes", "maxRankBytes", "maxHubBytes"]));
    const bounds = ["--max-members", "3", "--max-groups", "1", "--max-connections", "2", "--max-keys", "2"];
    const sizes = ["--max-value-bytes", "1K", "--max-store-bytes", "2K", "--max-message-bytes", "64K"];
    const hub = start(["hub", "--port", "0", ...bounds, ...sizes]);
    const [, url = ""] = await hub.printed(/^(ws:.*)\n/);
    const refusalOf = (group: string, rank: number, worldSize: number) =>
      hostile({ url }, { group, rank, worldSize }).then(
        () => "let in",
        (error: Error) => error.message,
      );
    expect(await refusalOf("g", 0, 4)).toContain("this hub takes at most 3");
    const { connection } = await joinConnection({ url }, { group: "g", worldSize: 3 });
    expect(await refusalOf("h", 0, 3)).toContain("1 groups and stores, as many as it takes");
    const second = await hostile({ url }, { group: "g", rank: 1, worldSize: 3 });
    expect(await refusalOf("g", 2, 3)).toContain("this hub has 2 connections");
    const store = new HubStore(connection);
    await expect(store.set("a", new Uint8Array(1_025))).rejects.toThrow(/at most 1024/);
    await store.set("a", "1");
    await store.set("b", "1");
    await expect(store.set("c", "1")).rejects.toThrow(/at most 2 keys/);
    await expect(store.multiSet(["a", "b"], [new Uint8Array(1_000), new Uint8Array(1_000)])).rejects.toThrow(/is full/);
    void second.send(new Uint8Array(70_000));
    expect((await second.closed).code).toBe(1009);
    hub.process.kill("SIGTERM");
    expect((await hub.ended).code).toBe(0);
  });

  it.each([
    [["hub", "--cert", "a.pem"], "--cert and --key go together"],
    [["hub", "--token-file", "nowhere"], "--token-file: no such file: nowhere"],
    [["hub", "--port=-1"], "--port must be a whole number from 0 to 65535, got -1"],
    [["hub", "--host", "0.0.0.0", "--port", "0"], "--insecure"],
    [["hub", "--max-keys=0"], "--max-keys must be a whole number of at least 1, got 0"],
    [["hub", "--max-rank-bytes", "1M"], "--max-rank-bytes 1048576 has no room for one message"],
  ])("refuses %j", async (args, message) => {
    const { code, stdout, stderr } = await webccl(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});

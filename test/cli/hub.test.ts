import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
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

  it.each([
    [["hub", "--cert", "a.pem"], "--cert and --key go together"],
    [["hub", "--token-file", "nowhere"], "--token-file: no such file: nowhere"],
    [["hub", "--port=-1"], "--port must be a whole number of at least 0, got -1"],
    [["hub", "--host", "0.0.0.0", "--port", "0"], "--insecure"],
  ])("refuses %j", async (args, message) => {
    const { code, stdout, stderr } = await webccl(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});

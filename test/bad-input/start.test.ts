/** What goes wrong when a group or a command is started: the message names the option, the variable, the port or the flag. */
import { execFile } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it, vi } from "vitest";
import { AdmissionError } from "../../src/errors.ts";
import { initProcessGroup } from "../../src/node/index.ts";
import { webccl } from "../cli/command.ts";
import { initMethodOf, TEST_TRANSPORTS } from "../conformance/harness.ts";
import { freePort } from "../helpers/free-port.ts";
import { temporaryFolder } from "../helpers/temporary-folder.ts";
import { errorOf, expectWhole } from "./helpers.ts";

describe("initProcessGroup()", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it("tells a page without a hub how it finds one", async () => {
    const { initProcessGroup: inPage } = await import("../../src/browser/index.ts");
    const thrown = await errorOf(async () => inPage());
    expect(thrown).toBeInstanceOf(RangeError);
    expect(thrown.message).toMatch(/worldSize.*webccl hub.*ws:\/\//);
  });

  it("says what is missing where it is not awaited", async () => {
    const pending = initProcessGroup({ initMethod: "memory://not-awaited", rank: 0, worldSize: 1 });
    for (const use of ["rank", "size", "allReduce", "destroy"]) {
      expect(() => Reflect.get(pending, use), use).toThrow(/^initProcessGroup gives a promise.*await/);
    }
    const group = await pending;
    expect(group.rank).toBe(0);
    await group.destroy();
  });

  it("rejects worldSize 0", async () => {
    const thrown = await errorOf(async () => initProcessGroup({ initMethod: "memory://none", rank: 0, worldSize: 0 }));
    expect(thrown).toBeInstanceOf(RangeError);
    expect(thrown.message).toMatch(/worldSize.*\b0\b/);
  });

  it("rejects a rank outside the world", async () => {
    const thrown = await errorOf(async () => initProcessGroup({ initMethod: "memory://none", rank: 3, worldSize: 3 }));
    expect(thrown).toBeInstanceOf(RangeError);
    expect(thrown.message).toMatch(/rank.*\b3\b/);
  });

  it("rejects an address of an unknown kind, and says which there are", async () => {
    const thrown = await errorOf(async () =>
      initProcessGroup({ initMethod: "carrier-pigeon://roof", rank: 0, worldSize: 1 }),
    );
    expect(thrown.message).toMatch(/carrier-pigeon/);
    expect(thrown.message).toMatch(/memory:\/\//);
  });

  it.each([
    [
      "a name that is too long",
      { groupName: "x".repeat(257) },
      /groupName has 257 characters, .* at most 256: shorten it/,
    ],
    [
      "half a character",
      { groupName: "a\ud83d" },
      /groupName is "a\\ud83d", which is not well-formed: .*lone surrogate/,
    ],
    ["an empty name", { groupName: "" }, /groupName is empty: give the group a name, or leave it out/],
    ["a name that is no string", { groupName: 7 as never }, /groupName must be a string, got number/],
    ["a long name in a URL", { initMethod: `ws://h/${"x".repeat(300)}` }, /name in initMethod has 300 characters/],
    ["a % in a path", { initMethod: "file:///a%b" }, /initMethod is "file:\/\/\/a%b": a % in it must be written %25/],
    [
      "a % in a group's name",
      { initMethod: "ws://h/a%b" },
      /initMethod is "ws:\/\/h\/a%b": a % in it must be written %25/,
    ],
    ["bytes that are no UTF-8", { initMethod: "file:///a%ff" }, /other bytes as %XX of UTF-8/],
    ["two slashes", { initMethod: "file://tmp/a" }, /in which tmp is a host: .* three slashes, "file:\/\/\/tmp\/a"/],
    ["too many ranks", { worldSize: 65_537 }, /worldSize is 65537: a group has at most 65536 ranks/],
  ])("says the fault and the remedy of %s", async (fault, options, says) => {
    const thrown = await errorOf(async () =>
      initProcessGroup({ initMethod: "memory://none", rank: 0, worldSize: 1, ...options }),
    );
    expect(thrown.message).toMatch(says);
    expect(thrown).toBeInstanceOf(/no string/.test(fault) ? TypeError : RangeError);
  });

  it.each([
    ["of 256 characters", "x".repeat(256)],
    ["of another script, with a %", "グループ 🦀 100%"],
    ["with a slash", "a/b"],
  ])("takes a group's name %s", async (_, groupName) => {
    const initMethod = `tcp://127.0.0.1:${await freePort()}`;
    const group = await initProcessGroup({ initMethod, rank: 0, worldSize: 1, groupName, timeoutMs: 5_000 });
    expect(group.name).toBe(groupName);
    await group.destroy();
  });

  it("takes a path with a % that is written %25", async () => {
    const initMethod = `file://${temporaryFolder()}/a%25b`;
    const group = await initProcessGroup({ initMethod, rank: 0, worldSize: 1, timeoutMs: 5_000 });
    await group.barrier();
    await group.destroy();
  });

  for (const missing of ["RANK", "WORLD_SIZE"]) {
    it(`names the environment variable ${missing} where it is missing`, async () => {
      for (const [name, value] of Object.entries({ RANK: "0", WORLD_SIZE: "1", MASTER_PORT: `${await freePort()}` })) {
        vi.stubEnv(name, name === missing ? undefined : value);
      }
      const thrown = await errorOf(async () => initProcessGroup());
      expect(thrown.message).toMatch(new RegExp(`\\b${missing}\\b`));
    });
  }

  it("names an environment variable that is no number, and its value", async () => {
    vi.stubEnv("RANK", "first");
    vi.stubEnv("WORLD_SIZE", "2");
    const thrown = await errorOf(async () => initProcessGroup());
    expect(thrown.message).toMatch(/\bRANK\b/);
    expect(thrown.message).toMatch(/first/);
  });

  it("says to the rank that hosts the hub, too, that it has called initProcessGroup before", async () => {
    const options = { initMethod: `tcp://127.0.0.1:${await freePort()}`, rank: 0, worldSize: 1 };
    const group = await initProcessGroup(options);
    const thrown = await errorOf(() => initProcessGroup(options));
    expect(thrown.message).toMatch(/has called initProcessGroup before uses that group, or its newGroup/);
    await expectWhole(group);
    await group.destroy();
  });

  it("names the port where it is in use by something else", async () => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = server.address() as { port: number };
      const initMethod = `tcp://127.0.0.1:${port}`;
      const thrown = await errorOf(async () =>
        initProcessGroup({ initMethod, rank: 0, worldSize: 1, transport: "hub", timeoutMs: 3000 }),
      );
      expect(thrown.message).toContain(`${port}`);
      expect(thrown.message).toMatch(/in use|EADDRINUSE/);
    } finally {
      server.close();
    }
  });

  for (const transport of TEST_TRANSPORTS) {
    it(`gives up after timeoutMs over ${transport} when the other ranks do not come, and says so`, async () => {
      const initMethod = await initMethodOf(transport);
      const options = { initMethod, rank: 0, worldSize: 2, transport, backend: "cpu", timeoutMs: 500 } as const;
      const thrown = await errorOf(() => initProcessGroup(options));
      expect(thrown.message).toMatch(/500 ms/);
      expect(thrown.message).toMatch(/1 of 2 ranks are here; missing: 1/);
    });
  }

  for (const transport of TEST_TRANSPORTS) {
    it(`refuses a second holder of a rank over ${transport}, and the first keeps it`, async () => {
      const initMethod = await initMethodOf(transport);
      const join = (rank: number, timeoutMs = 20_000) =>
        initProcessGroup({ initMethod, rank, worldSize: 2, transport, backend: "cpu", timeoutMs });
      const groups = await Promise.all([join(0), join(1)]);
      const thrown = await errorOf(() => join(1, 3000));
      expect(thrown).toBeInstanceOf(AdmissionError);
      expect(thrown.message).toMatch(/rank 1/);
      expect(thrown.message).toMatch(/has called initProcessGroup before uses that group, or its newGroup/);
      await Promise.all(groups.map((group) => expectWhole(group)));
      await Promise.all(groups.map((group) => group.destroy()));
    });
  }
});

/** How a script of this folder ended, run by Node. */
function runScript(path: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const file = fileURLToPath(new URL(path, import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, ["--import", "tsx", file], { timeout: 20_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
  });
}

describe("works that reject while another is awaited", () => {
  it("do not end the process, and are reported once each", async () => {
    const { code, stdout, stderr } = await runScript("../runtime/node/three-rejections.ts");
    expect(stderr).not.toMatch(/unhandled/i);
    expect(stdout).toContain("alive");
    expect(code).toBe(0);
    const reported = JSON.parse(stdout.split("\n")[0] as string) as string[];
    expect(reported.length).toBe(2);
    for (const message of reported) expect(message).toMatch(/count/);
  });
});

describe("webccl", () => {
  for (const [command, ...args] of [["run", "script.ts"], ["bench", "all_reduce"], ["info"], ["hub"]] as const) {
    it(`${command} rejects a flag it does not know, and names it`, async () => {
      const { code, stderr } = await webccl([command, "--frobnicate", ...args]);
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/--?frobnicate/);
      expect(stderr).not.toMatch(/^\s+at /m);
    });
  }
});

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { LookupFunction } from "node:net";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { AdmissionError } from "../../src/errors.ts";
import { createHub } from "../../src/node/hub.ts";
import { decodeHandshake } from "../../src/wire/handshake.ts";
import { join, rawWebSocket } from "../hub/support.ts";
import { makeCertificate } from "./certificate.ts";

function tokenFile(contents: string): string {
  const folder = mkdtempSync(joinPath(tmpdir(), "webccl-token-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(joinPath(folder, "token"), contents);
  return joinPath(folder, "token");
}

describe("createHub()", () => {
  it("reads the token from the first line of a file", async () => {
    const hub = await createHub({ port: 0, tokenFile: tokenFile("from a file\r\nnot this\n") });
    onTestFinished(() => hub.close());
    await expect(join(hub)).rejects.toThrow(AdmissionError);
    expect((await join(hub, {}, "from a file")).welcome.rank).toBe(0);
  });

  it("refuses an empty token file, and a token beside one", async () => {
    await expect(createHub({ port: 0, tokenFile: tokenFile("\n") })).rejects.toThrow(TypeError);
    await expect(createHub({ port: 0, token: "t", tokenFile: tokenFile("t") })).rejects.toThrow(TypeError);
  });

  it("refuses an origin and a host name that no header can have", async () => {
    for (const origin of ["example.org", "localhost:5173", "*", "https://example.org/page"]) {
      const refused = createHub({ port: 0, origins: ["https://example.org", origin] });
      await expect(refused).rejects.toThrow(RangeError);
      await expect(refused).rejects.toThrow(
        `"${origin}" is no origin of pages: give one such as "https://example.org"`,
      );
    }
    for (const name of ["https://example.org", "example.org:443", "example.org/"]) {
      const refused = createHub({ port: 0, allowHosts: ["example.org", name] });
      await expect(refused).rejects.toThrow(RangeError);
      await expect(refused).rejects.toThrow(`"${name}" is no host name: give one such as "example.org"`);
    }
  });

  it("lets pages of an origin in that was given with a slash, and names in capitals", async () => {
    const hub = await createHub({ port: 0, origins: ["https://Example.org/"], allowHosts: ["HUB.example.org"] });
    onTestFinished(() => hub.close());
    for (const [origin, host, status] of [
      ["https://example.org", "hub.example.org", 101],
      ["https://example.net", "hub.example.org", 403],
      ["https://example.org", "hub.example.net", 403],
    ] as const) {
      const page = rawWebSocket(`ws://127.0.0.1:${hub.port}`, { headers: { origin, host } });
      expect(await page.status).toBe(status);
    }
  });

  it("speaks TLS, and a client refuses a certificate it does not know", async () => {
    const tls = makeCertificate();
    const hub = await createHub({ port: 0, tls, token: "t" });
    onTestFinished(() => hub.close());
    expect(hub.url).toBe(`wss://127.0.0.1:${hub.port}`);
    const trusting = rawWebSocket(`wss://localhost:${hub.port}`, { ca: tls.cert, lookup: loopback });
    expect(decodeHandshake(await trusting.first, ["challenge"]).type).toBe("challenge");
    await expect(join(hub, {}, "t")).rejects.toThrow(/certificate .*not trusted/);
    await expect(join(hub, {}, "t")).rejects.toThrow(AdmissionError);
  });
});

/** localhost is 127.0.0.1, also where it resolves to ::1 first. */
const loopback: LookupFunction = (_name, options, callback) => {
  if (options.all) callback(null, [{ address: "127.0.0.1", family: 4 }]);
  else callback(null, "127.0.0.1", 4);
};

/** What strangers ask of the pages that the command serves: each request has an answer, and the server goes on. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { build, isBuilt } from "../../scripts/build.ts";
import { openPage } from "../../src/cli/demo.ts";
import { openLive } from "../../src/cli/trace/trace-live.ts";

const PIECES = [
  "/",
  "//",
  "assets",
  "trace",
  "..",
  "%2f",
  "%",
  "index.html",
  "\\",
  "?",
  "#",
  "*",
  "http://[",
  "none.js",
  ".",
];

const folder = mkdtempSync(join(tmpdir(), "webccl-page-files-"));
afterAll(() => rmSync(folder, { recursive: true }));

const OPENERS = {
  "webccl demo": async () => {
    const page = await openPage({ port: 0 });
    return { url: page.urls[0]!, close: () => page.close() };
  },
  "webccl trace --live": async () => openLive([folder], 0),
};

describe.each(Object.entries(OPENERS))("%s", (_, open) => {
  let page: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    if (!isBuilt()) await build();
    page = await open();
  }, 120_000);
  afterAll(() => page.close());

  /** The status of the answer to this target, sent as it is. */
  async function ask(target: string): Promise<number> {
    const { hostname, port, host } = new URL(page.url);
    const socket = connect(Number(port), hostname);
    socket.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    let text = "";
    for await (const part of socket) text += part;
    return Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]);
  }

  it.each([
    ["//", 400],
    ["/assets", 404],
    ["/assets/", 404],
    ["/..%2f..%2fpackage.json", 404],
    ["/nothing.js", 404],
    ["http://[", 400],
  ])("answers GET %s with %i", async (target, status) => {
    expect(await ask(target)).toBe(status);
  });

  it("answers whatever is asked, and goes on", async () => {
    const targets = fc
      .array(fc.constantFrom(...PIECES), { minLength: 1, maxLength: 6 })
      .map((pieces) => pieces.join(""));
    await fc.assert(
      fc.asyncProperty(targets, async (target) => {
        expect([200, 400, 404]).toContain(await ask(target));
      }),
      { numRuns: 200 },
    );
    const { hostname, port } = new URL(page.url);
    const asked = request({ hostname, port, path: "/" }).end();
    const [{ statusCode }] = await once(asked, "response");
    expect(statusCode).toBe(200);
  });
});

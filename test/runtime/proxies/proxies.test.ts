/** A hub and the demo behind nginx and Caddy with TLS, at the root of a name and under a path. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { launchChromium } from "../../../src/cli/launch/chromium.ts";
import { startHub } from "../../../src/node/hub.ts";
import { start } from "../../cli/command.ts";
import { freePort } from "../../helpers/free-port.ts";
import { says } from "../../helpers/tabs.ts";
import { hello, helloMessage } from "../../hub/support.ts";
import { makeCertificate } from "../../security/certificate.ts";
import { bundle } from "../browser/bundle.ts";
import type { Job, Outcome } from "../job.ts";
import { runProcess } from "../processes.ts";
import { PROXY_NAMES, startProxy } from "./servers.ts";

const PAGE = fileURLToPath(new URL("../browser/program.ts", import.meta.url));
const TOKEN = "a token of this test";
/** Under which path of its server the hub is, and the number of that server. */
const PLACES = [
  ["the root of a name", 0, ""],
  ["a path", 1, "/hub"],
] as const;

let folder: string;
let browser: Browser;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "webccl-proxies-"));
  const { cert, key } = makeCertificate();
  writeFileSync(join(folder, "cert.pem"), cert);
  writeFileSync(join(folder, "key.pem"), key);
  mkdirSync(join(folder, "page"));
  for (const [name, code] of await bundle(PAGE, "entry.js")) writeFileSync(join(folder, "page", name), code);
  writeFileSync(join(folder, "page", "index.html"), `<!doctype html><script type="module" src="entry.js"></script>`);
  browser = await launchChromium();
}, 120_000);

afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

const openPage = async (url: string): Promise<Page> => {
  const page = await browser.newPage({ ignoreHTTPSErrors: true });
  onTestFinished(() => page.close());
  await page.goto(url);
  return page;
};

describe.each(PROXY_NAMES)("behind %s with TLS", { timeout: 120_000 }, (name) => {
  let ports: [number, number];
  let hubs: [number, number];
  let stop: () => Promise<void>;
  const certificate = () => join(folder, "cert.pem");

  beforeAll(async () => {
    const four = [await freePort(), await freePort(), await freePort(), await freePort()] as const;
    ports = [four[0], four[1]];
    hubs = [four[2], four[3]];
    stop = await startProxy(name, { folder, ports, hubs });
  }, 60_000);

  afterAll(() => stop?.());

  /** Starts `webccl hub` or `webccl demo` as docs/hosts say, and gives its public address. */
  async function serve(command: "hub" | "demo", place: 0 | 1, path: string, flags: readonly string[] = []) {
    const url = `wss://localhost:${ports[place]}${path}`;
    const given = ["--port", `${hubs[place]}`, "--public-url", `${url}/`, "--trust-proxy", "127.0.0.1"];
    const served = start([command, ...given, ...flags], command === "hub" ? { WEBCCL_TOKEN: TOKEN } : {});
    onTestFinished(async () => {
      served.process.kill();
      await served.ended;
    });
    await served.printed(
      command === "hub" ? new RegExp(`^${url}\n`) : new RegExp(`^${url.replace("wss", "https")}/\n`),
    );
    return { url, served };
  }

  const jobOf = (url: string, rank: number): Job => ({
    task: { name: "sum" },
    options: { initMethod: `${url}/group`, rank, worldSize: 3, token: TOKEN, timeoutMs: 60_000 },
  });

  it.each(PLACES)("a hub at %s is joined by Chromium and Node", async (_, place, path) => {
    const origin = `https://localhost:${ports[1]}`;
    const { url } = await serve("hub", place, path, ["--origin", origin]);
    const runPage = async (job: Job) => {
      const page = await openPage(`${origin}/#${encodeURIComponent(JSON.stringify(job))}`);
      const outcome = await page.waitForFunction(() => (globalThis as { outcome?: unknown }).outcome, null, {
        timeout: 90_000,
      });
      return (await outcome.jsonValue()) as Outcome;
    };
    const outcomes = await Promise.all([
      runPage(jobOf(url, 0)),
      runProcess("node", jobOf(url, 1), { NODE_EXTRA_CA_CERTS: certificate() }),
      runPage(jobOf(url, 2)),
    ]);
    expect(outcomes).toMatchObject(["browser", "node", "browser"].map((runtime) => ({ runtime, first: 6, last: 6 })));
  });

  it.each(PLACES)(
    "the demo at %s is a page whose tabs find each other, and whose links lead there",
    async (_, place, path) => {
      const { served } = await serve("demo", place, path);
      const url = `https://localhost:${ports[place]}${path}/`;
      const tabs = [await openPage(url), await openPage(url)];
      for (const tab of tabs) await says(tab, "status", /2 ranks, ready/);
      expect(await tabs[0]!.textContent("#join-link")).toBe(url);
      // No other device reaches localhost.
      expect(await tabs[0]!.isHidden("#qr")).toBe(true);
      await tabs[0]!.selectOption("#size", "65536");
      await tabs[0]!.click("#run");
      for (const tab of tabs) await says(tab, "verdict", /every element right/);
      served.process.kill();
      expect((await served.ended).stderr).toMatch(/^webccl: warning: a proxy forwards requests to this hub, .*\n$/);
    },
  );

  it("a hub counts and names clients by their addresses, and believes no address that a client writes", async () => {
    const { url, served } = await serve("hub", 0, "", ["--log"]);
    const said = { "X-Forwarded-For": "203.0.113.9", Origin: "https://evil.example" };
    for (const headers of [said, { ...said, Forwarded: "for=203.0.113.9" }]) {
      const ws = new WebSocket(url, { rejectUnauthorized: false, localAddress: "127.0.0.2", headers });
      ws.on("error", () => {});
      await new Promise((resolve) => ws.once("close", resolve));
    }
    served.process.kill();
    const addresses = [...(await served.ended).stderr.matchAll(/"kind":"origin","address":"([^"]+)"/g)].map(
      ([, one]) => one,
    );
    expect(addresses).toEqual(["127.0.0.2", "127.0.0.1"]);
  });

  it("a certificate that is not trusted is refused in a sentence", async () => {
    const { url } = await serve("hub", 0, "");
    const outcome = await runProcess("node", jobOf(url, 0));
    expect(outcome).toMatchObject({
      error: expect.stringMatching(/certificate of wss:\/\/localhost:\d+ is not trusted/),
    });
  });
});

describe("a proxy that ends connections on which one side is silent for a second", () => {
  it.each([
    ["ends none to a hub that pings twice a second", 2_000, true],
    ["ends those to a hub that pings more seldom", 60_000, false],
  ])("%s", async (_, silenceMs, stays) => {
    const ports = [await freePort(), await freePort()] as const;
    const hub = await startHub({ port: 0, silenceMs });
    const stop = await startProxy("nginx", { folder, ports, hubs: [hub.port, hub.port], silenceSeconds: 1 });
    const ws = new WebSocket(`wss://localhost:${ports[0]}/`, { rejectUnauthorized: false });
    let pings = 0;
    const outcome = await new Promise((resolve) => {
      ws.once("message", () => ws.send(helloMessage(hello())));
      ws.on("ping", () => {
        pings++;
        if (pings === 6) resolve("it stays");
      });
      ws.on("error", () => {});
      ws.once("close", () => resolve("it was ended"));
    });
    ws.terminate();
    await stop();
    await hub.close();
    expect(outcome).toBe(stays ? "it stays" : "it was ended");
  });
});

/** A hub behind nginx, with docs/hosts/nginx.conf as it is but for names, ports and files. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchChromium } from "../../../src/cli/launch/chromium.ts";
import { type Command, start } from "../../cli/command.ts";
import { freePort } from "../../helpers/free-port.ts";
import { makeCertificate } from "../../security/certificate.ts";
import { bundle } from "../browser/bundle.ts";
import type { Job, Outcome } from "../job.ts";
import { runProcess } from "../processes.ts";

const CONFIGURATION = fileURLToPath(new URL("../../../docs/hosts/nginx.conf", import.meta.url));
const PAGE = fileURLToPath(new URL("../browser/program.ts", import.meta.url));
const TOKEN = "a token of this test";
let hub: Command;
let nginx: ChildProcess;
let browser: Browser;
let url: string;
let origin: string;
let certificate: string;
let folder: string;

/** The documented server, and one for the page, which has an origin of its own. */
async function configure(hubPort: number): Promise<void> {
  const [hubTls, pageTls] = [await freePort(), await freePort()];
  url = `wss://localhost:${hubTls}`;
  origin = `https://localhost:${pageTls}`;
  const given = readFileSync(CONFIGURATION, "utf8");
  const server = [
    ["listen 443", `listen 127.0.0.1:${hubTls}`],
    ["/etc/ssl/hub.example.org.pem", join(folder, "cert.pem")],
    ["/etc/ssl/hub.example.org.key", join(folder, "key.pem")],
    ["127.0.0.1:29500", `127.0.0.1:${hubPort}`],
    ["server_name hub.example.org", "server_name localhost"],
  ].reduce((text, [from, to]) => {
    if (!text.includes(from!)) throw new Error(`docs/hosts/nginx.conf has no ${from}`);
    return text.replace(from!, to!);
  }, given);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path temporary;`);
  writeFileSync(
    join(folder, "nginx.conf"),
    `daemon off; pid nginx.pid; error_log stderr; ${process.getuid?.() === 0 ? "user root;" : ""} events {} http { access_log off; ${temporary.join(" ")}
    types { text/html html; text/javascript js; }
    server { listen 127.0.0.1:${pageTls} ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem; root ${folder}/page; }
    ${server} }`,
  );
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "webccl-nginx-"));
  const { cert, key } = makeCertificate();
  certificate = join(folder, "cert.pem");
  writeFileSync(certificate, cert);
  writeFileSync(join(folder, "key.pem"), key);
  mkdirSync(join(folder, "page"));
  for (const [name, code] of await bundle(PAGE, "entry.js")) writeFileSync(join(folder, "page", name), code);
  writeFileSync(join(folder, "page", "index.html"), `<!doctype html><script type="module" src="entry.js"></script>`);
  const hubPort = await freePort();
  await configure(hubPort);
  const flags = ["--port", `${hubPort}`, "--allow-host", "localhost", "--origin", origin];
  hub = start(["hub", ...flags], { WEBCCL_TOKEN: TOKEN });
  await hub.printed(/ws:\/\//);
  nginx = spawn("nginx", ["-p", folder, "-c", "nginx.conf"], { stdio: ["ignore", "inherit", "inherit"] });
  browser = await launchChromium();
}, 120_000);

afterAll(async () => {
  await browser?.close();
  nginx?.kill();
  hub?.process.kill();
  await Promise.all([nginx && once(nginx, "close"), hub?.ended]);
  rmSync(folder, { recursive: true });
});

/** A page of nginx as a rank. */
async function runPage(job: Job): Promise<Outcome> {
  const page = await browser.newPage({ ignoreHTTPSErrors: true });
  await page.goto(`${origin}/#${encodeURIComponent(JSON.stringify(job))}`);
  const outcome = await page.waitForFunction(() => (globalThis as { outcome?: unknown }).outcome, null, {
    timeout: 90_000,
  });
  const value = (await outcome.jsonValue()) as Outcome;
  await page.close();
  return value;
}

const jobOf = (group: string, rank: number, worldSize: number): Job => ({
  task: { name: "sum" },
  options: { initMethod: `${url}/${group}`, rank, worldSize, token: TOKEN, timeoutMs: 60_000 },
});

describe("a hub behind nginx with TLS", { timeout: 120_000 }, () => {
  it("is joined by Chromium and Node", async () => {
    const trusting = { NODE_EXTRA_CA_CERTS: certificate };
    const outcomes = await Promise.all([
      runPage(jobOf("mixed", 0, 3)),
      runProcess("node", jobOf("mixed", 1, 3), trusting),
      runPage(jobOf("mixed", 2, 3)),
    ]);
    expect(outcomes).toMatchObject(["browser", "node", "browser"].map((runtime) => ({ runtime, first: 6, last: 6 })));
  });

  it("refuses in a sentence where the certificate is not trusted", async () => {
    const outcome = await runProcess("node", jobOf("untrusted", 0, 1));
    expect(outcome).toMatchObject({
      error: expect.stringMatching(/certificate of wss:\/\/localhost:\d+ is not trusted/),
    });
  });
});

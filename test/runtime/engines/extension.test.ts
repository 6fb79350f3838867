/** A rank in the background page of an extension. Chromium has service workers in their place (test/runtime/browser/places.test.ts). */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "puppeteer-core";
import { expect, it, onTestFinished } from "vitest";
import { temporaryFolder } from "../../helpers/temporary-folder.ts";
import { bundle } from "../browser/bundle.ts";

const PROGRAM = fileURLToPath(new URL("../browser/programs/background-page.ts", import.meta.url));

it("the background page of an extension of Firefox is refused as a rank, at once", { timeout: 60_000 }, async () => {
  const server = createServer((_request, response) => response.setHeader("access-control-allow-origin", "*").end());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const folder = temporaryFolder();
  const manifest = {
    ...{ manifest_version: 2, name: "rank", version: "1", background: { page: "background.html" } },
    permissions: ["http://127.0.0.1/*"],
    browser_specific_settings: { gecko: { id: "rank@webccl.test" } },
  };
  const files = await bundle(PROGRAM, "background.js");
  files.set("manifest.json", JSON.stringify(manifest));
  files.set("place.js", `globalThis.place = "http://127.0.0.1:${(server.address() as AddressInfo).port}/";`);
  files.set(
    "background.html",
    `<!doctype html><script src="place.js"></script><script type="module" src="background.js"></script>`,
  );
  for (const [name, text] of files) writeFileSync(join(folder, name), text);
  const asked = once(server, "request");
  const browser = await launch({ browser: "firefox", executablePath: "/usr/bin/firefox-esr", headless: true });
  onTestFinished(() => browser.close());
  await browser.installExtension(folder);
  const [{ url }] = (await asked) as [IncomingMessage];
  expect(decodeURIComponent(url!.slice(2))).toBe(
    "UnsupportedError: a service worker or an extension's background page cannot be a rank: use a page or a worker",
  );
});

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { freePort } from "../helpers/free-port.ts";
import { says, Tabs } from "../helpers/tabs.ts";

describe("examples/tickets.ts", { timeout: 120_000 }, () => {
  let tabs: Tabs;
  beforeAll(async () => {
    tabs = await Tabs.launch("tickets");
  }, 90_000);
  afterAll(() => tabs?.close());

  it("lets two tabs join by tickets; the token is in no page", async () => {
    const port = String(await freePort());
    const program = fileURLToPath(new URL("../../examples/tickets.ts", import.meta.url));
    const server = spawn(process.execPath, ["--import", "tsx", program], {
      env: { ...process.env, PORT: port },
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void server.kill());
    await once(server.stdout, "data");
    const pages = await Promise.all([0, 1].map(() => tabs.open(`http://localhost:${port}`)));
    for (const page of pages) await says(page, "sum", /rank [01] has the sum 3 3 3 3/);
    expect(tabs.problems).toEqual([]);
    // 64 hexadecimal digits would be the token.
    for (const page of pages) expect(await page.content()).not.toMatch(/[0-9a-f]{64}/);
  });
});

/**
 * One rank in a browser, as a process of its own: opens the job's page (browser-page.ts) in a headless Chromium, prints
 * what it prints, and ends as it ends. Its rank is in the environment, as everywhere.
 */
import { launchChromium } from "./chromium.ts";

const hub = process.env.WEBCCL_INIT_METHOD;
if (hub === undefined) throw new Error("WEBCCL_INIT_METHOD is not set: webccl run --browsers starts this program");
const browser = await launchChromium();
const page = await browser.newPage();
let end: (exitCode: number) => void = () => {};
const ended = new Promise<number>((resolve) => {
  end = resolve;
});
await page.exposeFunction("webcclEnded", end);
page.on("crash", () => {
  console.error("the page crashed");
  end(1);
});
page.on("console", (message) => {
  if (message.type() === "error" || message.type() === "warning") console.error(message.text());
  else console.log(message.text());
});
// What a program does not catch ends its process elsewhere; a page would go on, and the other ranks would wait for it.
page.on("pageerror", (error) => {
  console.error(error.stack ?? String(error));
  end(1);
});
// The variables reach the page without crossing any wire, the token among them.
const place = Object.entries(process.env).filter(([name]) =>
  /^(RANK|WORLD_SIZE|(LOCAL|GROUP|ROLE|TORCHELASTIC|WEBCCL)_)/.test(name),
);
await page.addInitScript({ content: `globalThis.webcclEnvironment = ${JSON.stringify(Object.fromEntries(place))};` });
await page.goto(new URL("/", hub.replace(/^ws/, "http")).href);
const exitCode = await ended;
await browser.close();
process.exit(exitCode);

/** The tab's side of the SharedWorker in introducer.ts. Loaded by a page that meets others at a hub. */
import { UnsupportedError } from "../errors.ts";
import type { PortExchange } from "../platform.ts";
import { startTimer } from "../support/clock.ts";
import type { Errand, Introduction, Seat } from "./introducer.ts";

/** A browser that says neither yes nor no in this time is taken for one that says no. */
const ANSWER_MS = 5_000;

/**
 * Takes a seat among the tabs of this browser and origin.
 * @throws UnsupportedError that says why there is none.
 */
export async function openPortExchange(): Promise<PortExchange> {
  if (typeof SharedWorker === "undefined") {
    throw new UnsupportedError("there is no SharedWorker here: a page has one in most browsers, a worker in none");
  }
  const worker = new SharedWorker(new URL("./introducer.ts", import.meta.url), { type: "module", name: "webccl" });
  const { port } = worker;
  const { room, seat } = await new Promise<Seat>((resolve, reject) => {
    const fail = (text: string) => reject(new UnsupportedError(`${text}: is introducer.js served beside this module?`));
    const timer = startTimer(ANSWER_MS, () => fail("its SharedWorker did not answer"));
    worker.onerror = () => fail("its SharedWorker could not be loaded, or the page's policy blocks it");
    port.onmessage = ({ data }: MessageEvent<Seat>) => {
      timer.cancel();
      resolve(data);
    };
  });
  const exchange: PortExchange = {
    room,
    seat,
    onPort: () => {},
    give: (to, given) => port.postMessage({ to } satisfies Errand, [given]),
    close: () => {
      port.postMessage("leave" satisfies Errand);
      port.close();
    },
  };
  port.onmessage = ({ data, ports: [given] }: MessageEvent<Introduction>) => {
    if (given) exchange.onPort(data.from, given);
  };
  return exchange;
}

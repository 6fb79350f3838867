/**
 * The SharedWorker that introduces the tabs of one browser to each other: there is one for all tabs that load it from the same
 * address. It passes a port from one tab to another, through which they then talk without it.
 */

/** What a tab is told first. */
export interface Seat {
  readonly room: string;
  readonly seat: number;
}

/** A tab asks that the port with this message goes to the tab at `to`; or it leaves. */
export type Errand = { readonly to: number } | "leave";

/** The port with this message is from the tab at `from`. */
export interface Introduction {
  readonly from: number;
}

const room = crypto.getRandomValues(new Uint32Array(4)).join("-");
const tabs = new Map<number, MessagePort>();
let seats = 0;

addEventListener("connect", (event) => {
  const [tab] = (event as MessageEvent).ports as [MessagePort];
  const seat = seats++;
  tabs.set(seat, tab);
  tab.onmessage = ({ data, ports }: MessageEvent<Errand>) => {
    if (data === "leave") {
      tabs.delete(seat);
      tab.close();
    } else tabs.get(data.to)?.postMessage({ from: seat } satisfies Introduction, [...ports]);
  };
  tab.postMessage({ room, seat } satisfies Seat);
});

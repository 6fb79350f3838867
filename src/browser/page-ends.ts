/**
 * When a page ends for the other ranks, though its connections may last a while: its browser freezes it in the background, may
 * discard it after that without a word, or keeps it for the way back when the tab goes elsewhere. Nothing runs in a frozen
 * page, and its browser still answers pings: who waits for it would wait for ever. Loaded by a page that meets at a hub.
 */
import type { PageEnds } from "../platform.ts";

const FROZEN =
  "its browser froze its page in the background, and may discard it: a page that is shown again can join again";
const LEFT = "its page was closed, or left for another";

/** The last moment in which a page can tell anything. In a worker of a page there is none. */
export const onPageEnd: PageEnds = (listener) => {
  const onFreeze = () => listener(FROZEN);
  const onHide = () => listener(LEFT);
  const page = globalThis.document as Document | undefined;
  page?.addEventListener("freeze", onFreeze);
  globalThis.addEventListener("pagehide", onHide);
  return () => {
    page?.removeEventListener("freeze", onFreeze);
    globalThis.removeEventListener("pagehide", onHide);
  };
};

/** A server of pages, a browser that opens them, and a hub that lets them in. */
import { afterAll, beforeAll } from "vitest";
import { startHub } from "../../../src/node/hub.ts";
import { Pages } from "./pages.ts";

export interface PagesAndHub {
  pages: Pages;
  hub: Awaited<ReturnType<typeof startHub>>;
}

/** For the tests of this block: there from its first test on, closed after its last. */
export function pagesAndHub(token: string): PagesAndHub {
  const place = {} as PagesAndHub;
  beforeAll(async () => {
    place.pages = await Pages.open();
    place.hub = await startHub({ port: 0, token, origins: [place.pages.origin] });
  });
  afterAll(async () => {
    await place.pages?.close();
    await place.hub?.close();
  });
  return place;
}

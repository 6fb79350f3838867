/** Connections of a hub have time slices: counted by the calls of one that were served before the call of another. */
import { expect, it } from "vitest";
import { HubStore } from "../../src/store/hub-store.ts";
import { encodeHubFrame } from "../../src/wire/hub-frame.ts";
import { webSocketFrame } from "../fuzz/draws.ts";
import { hostile } from "../hub/hostile.ts";
import { joinConnection, openHub } from "../hub/support.ts";

const CALLS = 40_000;

it("a member that has sent 40,000 calls does not hold up the one call of another", async () => {
  const hub = await openHub();
  const [busy, other] = await Promise.all([hostile(hub, { rank: 0 }), joinConnection(hub, { rank: 1 })]);
  const store = new HubStore(other.connection);
  const calls = Array.from({ length: CALLS }, (_, id) =>
    webSocketFrame(Buffer.concat(encodeHubFrame({ type: "call", id, op: "add", args: ["n", 1] }))),
  );
  await store.add("n", 0);
  // Both are written before the hub reads either.
  busy.net.write(Buffer.concat(calls));
  const served = await store.add("n", 0);
  expect(served).toBeLessThan(CALLS / 4);
  await expect.poll(() => store.add("n", 0), { timeout: 60_000, interval: 100 }).toBe(CALLS);
});

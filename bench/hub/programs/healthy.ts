/**
 * healthy URL: two ranks of a group of their own. Every 5 ms one sends the other 10,000 bytes and counts in their store; each byte and
 * each count must be right. Answers every message with how long the rounds since the last one took, in milliseconds.
 */

import { HubConnection } from "../../../src/link/hub/connection.ts";
import { connectWebSocket } from "../../../src/node/websocket-client.ts";
import { HubStore } from "../../../src/store/hub-store.ts";
import { dataFrame } from "../../../test/hub/frames.ts";

const PAUSE_MS = 5;
const [url = ""] = process.argv.slice(2);
const group = `healthy ${process.pid}`;

function fail(why: string): never {
  console.error(`the healthy group: ${why}`);
  process.exit(1);
}

let onFrame: (payload: Uint8Array) => void = () => {};
async function join(rank: number): Promise<HubConnection> {
  const hello = { group, rank, worldSize: 2, purpose: "hub", checksums: false } as const;
  const { socket, welcome } = await connectWebSocket(url, hello, { timeoutMs: 20_000 });
  const connection = new HubConnection(socket, welcome, url);
  connection.start({
    onFrame(_header, payload) {
      const bytes = new Uint8Array(payload.byteLength);
      payload.copyTo(bytes);
      onFrame(bytes);
    },
    onFold() {},
    onHeld() {},
    onDamaged: (_rank, seen) => fail(`damaged: ${seen}`),
    onLost: (_rank, reason) => fail(`lost: ${reason}`),
    onLeft: () => fail("a rank left"),
    onClosed: (code, reason) => fail(`closed: ${code} ${reason}`),
  });
  return connection;
}

const [zero, one] = [await join(0), await join(1)];
void one;
const store = new HubStore(zero);
let times: number[] = [];
let rounds = 0;
process.on("message", () => {
  process.send?.(times);
  times = [];
});
process.on("disconnect", () => process.exit(0));
process.send?.("ready");

for (;;) {
  const began = performance.now();
  const payload = new Uint8Array(10_000).fill(rounds % 251);
  const came = new Promise<Uint8Array>((resolve) => (onFrame = resolve));
  zero.sendFrame(dataFrame(1, payload.length), payload);
  if (!Buffer.from(await came).equals(payload)) fail("wrong bytes");
  if ((await store.add("rounds", 1)) !== ++rounds) fail("a wrong count");
  times.push(performance.now() - began);
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}

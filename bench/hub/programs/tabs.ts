/**
 * tabs URL WORLD FIRST COUNT: so many members of a group of WORLD that speak the wire as a tab does: each joins, counts itself in the
 * store, waits until all have, sends a part of 256 f32 to a fold at the hub, checks the sum, and says goodbye. It has no bring-up of a
 * process group. Answers when all are in, when they have reduced, and when they have left.
 */
import { HubConnection } from "../../../src/link/hub/connection.ts";
import { connectWebSocket } from "../../../src/node/websocket-client.ts";
import { HubStore } from "../../../src/store/hub-store.ts";
import { DATA_TYPES } from "../../../src/types.ts";
import { encodeHeader, FoldFlag, FrameKind, HUB_PEER } from "../../../src/wire/frame.ts";

const [url = "", ...numbers] = process.argv.slice(2);
const [worldSize, first, count] = numbers.map(Number) as [number, number, number];
const GROUP = 7;
const COUNT = 256;
const sum = (worldSize * (worldSize - 1)) / 2;
const ranks = Array.from({ length: worldSize }, (_, rank) => rank);

interface Tab {
  readonly connection: HubConnection;
  readonly rank: number;
  onFold(result: Float32Array): void;
}

async function join(rank: number): Promise<Tab> {
  const hello = { group: "tabs", rank, worldSize, purpose: "hub", checksums: false } as const;
  const { socket, welcome } = await connectWebSocket(url, hello, { timeoutMs: 60_000 });
  const connection = new HubConnection(socket, welcome, url);
  const tab: Tab = { connection, rank, onFold() {} };
  const fail = (why: string) => {
    console.error(`tab ${rank}: ${why}`);
    process.exit(1);
  };
  connection.start({
    onFrame: () => fail("a frame of nobody"),
    onFold(_header, payload) {
      const result = new Float32Array(COUNT);
      payload.copyTo(new Uint8Array(result.buffer));
      tab.onFold(result);
    },
    onHeld() {},
    onDamaged: (_rank, seen) => fail(`damaged: ${seen}`),
    onLost: (other, reason) => fail(`tab ${other} was lost: ${reason}`),
    onLeft() {},
    onClosed: (code, reason) => isLeaving || fail(`closed: ${code} ${reason}`),
  });
  await new HubStore(connection).add("here", 1);
  return tab;
}

let isLeaving = false;
const began = performance.now();
const tabs = await Promise.all(Array.from({ length: count }, (_, i) => join(first + i)));
process.send?.({ joinedMs: performance.now() - began, memory: process.memoryUsage().rss });

/** Resolves with whether the sum was right. */
function reduce(tab: Tab): Promise<boolean> {
  const part = new Float32Array(COUNT).fill(tab.rank);
  tab.connection.tell({ type: "group", group: GROUP, ranks });
  const fingerprint = {
    ...{ refused: 0, persistent: 0, ahead: 0, collective: 0, dtype: DATA_TYPES.indexOf("f32"), op: 0, customOp: 0 },
    ...{ root: 0, count: COUNT, detail: 0, algorithm: 0, segmentBytes: 0 },
  };
  const header = {
    ...{ kind: FrameKind.FOLD, flags: 0, peer: HUB_PEER, epoch: 0, group: GROUP, sequence: 1, slot: 0 },
    ...{ payloadBytes: part.byteLength, request: FoldFlag.HAS_PART + FoldFlag.WANTS },
  };
  return new Promise((resolve) => {
    tab.onFold = (result) => resolve(result.every((value) => value === sum));
    tab.connection.sendFrame(encodeHeader(header, fingerprint), new Uint8Array(part.buffer));
  });
}

process.on("message", async (message: { leave?: true }) => {
  if (message.leave) {
    isLeaving = true;
    for (const { connection } of tabs) {
      connection.goodbye();
      connection.close();
    }
    process.send?.({});
    process.disconnect?.();
    return;
  }
  const started = performance.now();
  const right = await Promise.all(tabs.map(reduce));
  process.send?.({ ms: performance.now() - started, wrong: right.filter((isRight) => !isRight).length });
});
process.on("disconnect", () => process.exit(0));

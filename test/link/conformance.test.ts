import { describe, expect, it } from "vitest";
import { PLAIN_XXH64 } from "../../src/executor/checksum/plain-xxh64.ts";
import { WasmMemory } from "../../src/executor/cpu/wasm-memory.ts";
import { format, layoutOf } from "../../src/link/files/layout.ts";
import { FileLinks } from "../../src/link/files/links.ts";
import { HubConnection } from "../../src/link/hub/connection.ts";
import { HubLinks } from "../../src/link/hub/links.ts";
import type { Socket } from "../../src/link/link.ts";
import { MemoryLink } from "../../src/link/memory/link.ts";
import { MessagePortLink } from "../../src/link/message-port/link.ts";
import { DIRECTORY_BYTES, Directory } from "../../src/link/threads/directory.ts";
import { ThreadLinks } from "../../src/link/threads/links.ts";
import { WebRtcLink } from "../../src/link/webrtc/link.ts";
import { WebSocketLink } from "../../src/link/websocket/link.ts";
import { startHub } from "../../src/node/hub.ts";
import { memoryFiles } from "../../src/node/memory-files/memory-files.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { connectWebSocket } from "../../src/node/websocket-client.ts";
import { LINK_CASES, type LinkPair } from "../../src/testing/index.ts";
import { peerOf } from "../../src/wire/frame.ts";
import { FrameSums } from "../../src/wire/frame-sums.ts";
import { openChannels } from "../helpers/data-channels.ts";

const fail = (error: unknown) => {
  throw error;
};

async function memory(latencyMs = 0): Promise<LinkPair> {
  const ends = MemoryLink.pair(null, null, latencyMs);
  return { ends, ranks: [0, 1], peers: [0, 1], leave: () => ends[0].close(), close: () => {} };
}

/** Two threads' ends, here in one thread, over one memory. */
async function threads(): Promise<LinkPair> {
  const shared = new WebAssembly.Memory({ initial: DIRECTORY_BYTES / 65_536, maximum: 1024, shared: true });
  const all = [0, 1].map((thread) => {
    const heap = new WasmMemory(shared);
    return new ThreadLinks({ heap, directory: new Directory(heap, thread), thread, threads: 2, job: 7 });
  }) as [ThreadLinks, ThreadLinks];
  const ends = [all[0].link(1), all[1].link(0)] as const;
  return {
    ...{ ends, ranks: [0, 1], peers: [0, 1], leave: () => ends[0].close() },
    close: () => {
      for (const links of all) links.close();
    },
  };
}

/** Two processes' ends, here in one process, over two files. */
async function files(): Promise<LinkPair> {
  const system = memoryFiles();
  const laidOut = [0, 1].map((rank) => {
    const { path, file } = system.create();
    const layout = layoutOf(rank, [1 - rank], false);
    format(file, layout);
    const opened = { file: system.open(path), layout };
    system.unlink(path);
    return { own: { file, layout }, opened };
  });
  const under = MemoryLink.pair(null, null);
  const [first, second] = [0, 1].map((rank) => {
    const theirs = new Map([[1 - rank, laidOut[1 - rank]!.opened]]);
    const links = new FileLinks({
      ...{ kind: "shared-file", waits: system.waits, onWake: () => {} },
      isCrowded: true,
      own: laidOut[rank]!.own,
      theirs,
      onError: (_, error) => fail(error),
    });
    return links.link(1 - rank, under[rank]!);
  });
  const ends = [first!, second!] as const;
  return {
    ...{ ends, ranks: [0, 1], peers: [0, 1], leave: () => ends[0].close() },
    close: () => {
      for (const end of ends) end.close();
    },
  };
}

async function websocket(checksums: boolean): Promise<LinkPair> {
  const hello = { group: "links", rank: 1, worldSize: 2, purpose: "link", checksums } as const;
  let arrived: (socket: Socket) => void;
  const arriving = new Promise<Socket>((resolve) => {
    arrived = resolve;
  });
  const listener = await nodePlatform.listen({ host: "127.0.0.1", port: 0 }, (_, socket) => arrived(socket));
  const { socket } = await connectWebSocket(listener.url, hello, { timeoutMs: 5_000 });
  const sumsOf = (own: number) => (checksums ? { sums: new FrameSums(PLAIN_XXH64), own, other: 1 - own } : null);
  const ends = [
    new WebSocketLink(await arriving, sumsOf(0), fail),
    new WebSocketLink(socket, sumsOf(1), fail),
  ] as const;
  return {
    ...{ ends, ranks: [0, 1], peers: [0, 1], leave: () => ends[0].close() },
    close: async () => {
      for (const end of ends) end.close();
      await listener.close();
    },
  };
}

/** Two tabs' ends, here in one thread, over a channel of Node's. */
async function messagePorts(): Promise<LinkPair> {
  const { port1, port2 } = new MessageChannel();
  const ends = [new MessagePortLink(port1, fail), new MessagePortLink(port2, fail)] as const;
  return {
    ...{ ends, ranks: [0, 1], peers: [0, 1], leave: () => ends[0].close() },
    close: () => {
      for (const end of ends) end.close();
    },
  };
}

async function dataChannels(): Promise<LinkPair> {
  const [near, far] = await openChannels();
  const ends = [new WebRtcLink(near, fail), new WebRtcLink(far, fail)] as const;
  return {
    ...{ ends, ranks: [0, 1], peers: [0, 1], leave: () => ends[0].close() },
    close: () => {
      for (const end of ends) end.close();
    },
  };
}

/** Two of the three ranks of a group at a hub. */
async function hub(): Promise<LinkPair> {
  const server = await startHub({ port: 0 });
  const joined = await Promise.all(
    [2, 0].map(async (rank) => {
      const hello = { group: "links", rank, worldSize: 3, purpose: "hub", checksums: false } as const;
      const { socket, welcome } = await connectWebSocket(server.url, hello, { timeoutMs: 5_000 });
      const connection = new HubConnection(socket, welcome, server.url);
      const links = new HubLinks(connection);
      const link = links.link(2 - rank, null);
      connection.start({
        onFrame: (header, payload) => links.deliver(peerOf(header), header, payload),
        onFold: () => {},
        onDamaged: (_, seen) => fail(new Error(seen)),
        onLost: (other) => links.closed(other),
        onLeft: (other) => links.closed(other),
        onClosed: () => {},
      });
      return { connection, link };
    }),
  );
  const [first, second] = [joined[0]!, joined[1]!];
  const leave = () => {
    first.connection.goodbye();
    first.connection.close();
  };
  return {
    ...{ ends: [first.link, second.link], ranks: [2, 0], peers: [0, 2], leave },
    close: async () => {
      leave();
      second.connection.close();
      await server.close();
    },
  };
}

const LINKS: readonly [string, () => Promise<LinkPair>][] = [
  ["memory", memory],
  ["memory with latency", () => memory(1)],
  ["threads", threads],
  ["files", files],
  ["websocket", () => websocket(false)],
  ["websocket with checksums", () => websocket(true)],
  ["message ports", messagePorts],
  ["data channels", dataChannels],
  ["hub", hub],
];

describe.each(LINKS)("the link conformance suite: %s", (_name, open) => {
  it.each(LINK_CASES.map((one) => [one.name, one] as const))("%s", async (_case, one) => {
    await one.run(open);
  });
});

describe("the link conformance suite", () => {
  it("finds links that swap, lose, change or repeat frames", async () => {
    for (const fault of ["swaps", "loses", "changes", "repeats"] as const) {
      const faulty = async (): Promise<LinkPair> => {
        const pair = await memory();
        const [end] = pair.ends;
        const { send } = end;
        let held: Parameters<typeof send> | null = null;
        let count = 0;
        end.send = (header, payload, onSent) => {
          count++;
          if (fault === "loses" && count === 7) return onSent?.();
          if (fault === "changes" && count === 12) payload?.fill(1, 0, 1);
          if (fault === "swaps" && count === 5) {
            held = [header, payload, onSent];
            return;
          }
          send.call(
            end,
            header,
            fault === "changes" && count === 12 ? payload!.map((byte) => byte ^ 1) : payload,
            onSent,
          );
          if (fault === "repeats" && count === 3) send.call(end, header, payload);
          if (held) send.call(end, ...held);
          held = null;
        };
        return { ...pair, close: () => pair.ends[0].close() };
      };
      const outcomes = await Promise.allSettled(
        LINK_CASES.slice(0, 1).map((one) => Promise.race([one.run(faulty), timeout()])),
      );
      expect(
        outcomes.some(({ status }) => status === "rejected"),
        fault,
      ).toBe(true);
    }
  });
});

/** A lost frame shows as one that never comes. */
const timeout = () => new Promise<never>((_, reject) => setTimeout(() => reject(new Error("too long")), 1_000));

/** The first exchange of a group whose ranks are joined by the real memory transport, mesh and channel. */
import { PeerLostError } from "../../src/errors.ts";
import { joinMemoryJob } from "../../src/link/memory/links.ts";
import { consoleLogger } from "../../src/logger.ts";
import type { Channel } from "../../src/messaging/channel.ts";
import type { ChannelExchange } from "../../src/messaging/exchange.ts";
import { Mesh } from "../../src/messaging/mesh.ts";
import type { Fingerprint } from "../../src/wire/frame.ts";

/** A call like any other. */
export const FINGERPRINT: Fingerprint = {
  collective: 0,
  dtype: 0,
  op: 0,
  root: 0,
  count: 0,
  detail: 0,
  customOp: 0,
  algorithm: 0,
  refused: 0,
  segmentBytes: 0,
  persistent: 0,
  ahead: 0,
};

let jobs = 0;

export function memoryExchanges(size: number): { exchanges: ChannelExchange[]; close(): void } {
  const name = `exchanges-${jobs++}`;
  const logger = consoleLogger(() => "OFF");
  const places = Array.from({ length: size }, (_, rank) =>
    joinMemoryJob(name, rank, size, {}, () => ({ close: () => {} })),
  );
  const meshes = places.map(({ rank, links }) => new Mesh({ rank, epoch: 0, links, logger }));
  const ranks = places.map(({ rank }) => rank);
  const onDead = (cause: Error) => {
    if (!(cause instanceof PeerLostError)) throw cause;
  };
  const channels: Channel[] = meshes.map((mesh) => mesh.open({ group: 1, name, ranks, logger, onDead }));
  const exchanges = channels.map((channel) => channel.open(1, FINGERPRINT));
  for (const mesh of meshes) mesh.start();
  const close = () => {
    channels.forEach((channel, rank) => {
      channel.close(exchanges[rank]!);
    });
    for (const mesh of meshes) mesh.leave();
    for (const place of places) place.leave();
  };
  return { exchanges, close };
}

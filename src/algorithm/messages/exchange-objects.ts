/**
 * Byte strings whose lengths only their senders know.
 *
 * Each sender tells each receiver the length in a message of 8 bytes (little-endian), then the bytes in segments. After
 * it `received[source]` holds what that source sent.
 *
 * Messages per pair: 1 + ceil(bytes / segmentBytes). For small control values, so every pair talks directly: N − 1
 * messages of each rank in flight at once.
 */
import type { Context } from "../context.ts";

const LENGTH_BYTES = 8;

/** Sends `outgoing[r]` to each rank r where it is not null, and fills `received[s]` for each of `sources`. */
export async function exchangeObjects(
  context: Context,
  outgoing: readonly (Uint8Array | null)[],
  sources: readonly number[],
  received: (Uint8Array | null)[],
): Promise<void> {
  const transfers: Promise<void>[] = [];
  outgoing.forEach((bytes, peer) => {
    if (bytes && peer !== context.rank) transfers.push(sendObject(context, peer, bytes));
  });
  for (const source of sources) {
    if (source === context.rank) received[source] = outgoing[source] ?? null;
    else transfers.push(recvObject(context, source, received));
  }
  await Promise.all(transfers);
}

async function sendObject(context: Context, peer: number, bytes: Uint8Array): Promise<void> {
  const length = new Uint8Array(LENGTH_BYTES);
  new DataView(length.buffer).setBigUint64(0, BigInt(bytes.byteLength), true);
  const sends = [context.exchange.send(peer, length, 0)];
  for (const segment of segments(context, bytes)) sends.push(context.exchange.send(peer, segment, 0));
  await Promise.all(sends);
}

async function recvObject(context: Context, source: number, received: (Uint8Array | null)[]): Promise<void> {
  const length = new Uint8Array(LENGTH_BYTES);
  await context.exchange.recv(source, length, 0);
  const bytes = new Uint8Array(Number(new DataView(length.buffer).getBigUint64(0, true)));
  await Promise.all(segments(context, bytes).map((segment) => context.exchange.recv(source, segment, 0)));
  received[source] = bytes;
}

function segments({ segmentBytes }: Context, bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let start = 0; start < bytes.byteLength; start += segmentBytes) {
    parts.push(bytes.subarray(start, start + segmentBytes));
  }
  return parts;
}

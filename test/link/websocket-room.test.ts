/** A receive over a real connection, whose room the socket reads into, and that fails half-way. */

import { expect, it, onTestFinished } from "vitest";
import { AbortedError } from "../../src/errors.ts";
import { frameHeaderBytes, Opcode, writeFrameHeader } from "../../src/link/websocket/frame.ts";
import { WebSocketLink } from "../../src/link/websocket/link.ts";
import { ChannelExchange } from "../../src/messaging/exchange.ts";
import { Peer } from "../../src/messaging/peer.ts";
import { NodeSocket } from "../../src/node/socket.ts";
import { Traffic } from "../../src/support/traffic.ts";
import { decodeHeader, encodeHeader, FrameKind } from "../../src/wire/frame.ts";
import { connected } from "../helpers/connected.ts";

const MIB = 2 ** 20;
const nothing = () => {};

/** A data frame of `payload` in `slot`, as a client sends it. */
function message(slot: number, payload: Uint8Array): Uint8Array {
  const fields = { flags: 0, peer: 1, epoch: 0, group: 3, sequence: 4, request: 0 };
  const head = encodeHeader({ ...fields, kind: FrameKind.DATA, slot, payloadBytes: payload.byteLength }, null);
  const bytes = head.byteLength + payload.byteLength;
  const frame = new Uint8Array(frameHeaderBytes(bytes, true));
  writeFrameHeader(frame, Opcode.BINARY, bytes, true);
  return Buffer.concat([frame, head, payload]);
}

it("a receive is written to no more once its exchange has failed, while the rest of its message comes", async () => {
  const { client, accepted } = await connected();
  const socket = new NodeSocket(accepted, new Uint8Array(0), { side: "server", maxMessageBytes: 16 * MIB });
  onTestFinished(() => socket.terminate());

  const link = new WebSocketLink(socket, null, nothing);
  const peer = new Peer(1, link, 0, 0);
  const ignored = { onMismatch: nothing, onLengthMismatch: nothing, onNeedsLeftPeer: nothing, hasLeft: () => false };
  const exchange = new ChannelExchange(
    { group: 3, size: 2, traffic: new Traffic(2, () => 0), peer: () => peer, ...ignored },
    4,
    false,
  );
  const into = new Uint8Array(new SharedArrayBuffer(2 * MIB));
  const received = exchange.recv(1, into, 0);
  const slots: number[] = [];
  let lastCame = nothing;
  const last = new Promise<void>((resolve) => {
    lastCame = resolve;
  });
  link.start({
    onFrame: (head, payload) => {
      const { slot } = decodeHeader(head);
      slots.push(slot);
      if (slot === 0) exchange.onData(peer, 1, slot, payload);
      else lastCame();
    },
    onDamaged: nothing,
    onClose: nothing,
  });

  const whole = message(0, new Uint8Array(2 * MIB).fill(7));
  const half = whole.byteLength - MIB;
  client.write(whole.subarray(0, half));
  while (socket.bytesRead < half) await new Promise(setImmediate);
  expect([into[MIB - 1], into[MIB]]).toEqual([7, 0]);
  exchange.fail(new AbortedError("enough"));
  await expect(received).rejects.toThrow("enough");
  client.write(whole.subarray(half));
  client.write(message(1, new Uint8Array(0)));
  await last;
  expect(slots).toEqual([0, 1]);
  expect(into.subarray(MIB).every((byte) => byte === 0)).toBe(true);
});

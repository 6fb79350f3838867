import { describe, expect, it } from "vitest";
import type { Link } from "../../src/link/link.ts";
import { FragmentsPayload } from "../../src/link/payload/fragments.ts";
import { EAGER_BUDGET_BYTES, Peer } from "../../src/messaging/peer.ts";
import { decodeHeader, FrameFlag, FrameKind, HEADER_BYTES, type Header } from "../../src/wire/frame.ts";

/** A link whose far end is this list of what was sent. */
function recordingLink(): { link: Link; frames: { header: Header; bytes: number; sent: () => void }[] } {
  const frames: { header: Header; bytes: number; sent: () => void }[] = [];
  const link: Link = {
    kind: "websocket",
    send: (header, payload, onSent) =>
      frames.push({ header: decodeHeader(header), bytes: payload?.byteLength ?? 0, sent: () => onSent?.() }),
    start: () => {},
    close: () => {},
  };
  return { link, frames };
}

const route = { group: 5, sequence: 3, slot: 1, pointToPoint: false };
const MIB = 2 ** 20;

describe("Peer", () => {
  it("sends eagerly up to the budget, then asks, and holds no bytes of its own", () => {
    const { link, frames } = recordingLink();
    const peer = new Peer(1, link, 0, 0);
    const bytes = new Uint8Array(MIB);
    const eager = Math.floor(EAGER_BUDGET_BYTES / (MIB + HEADER_BYTES));
    for (let i = 0; i < eager + 3; i++) peer.send(route, bytes, null, () => {});
    expect(frames.filter(({ header }) => header.kind === FrameKind.DATA)).toHaveLength(eager);
    const requests = frames.filter(({ header }) => header.kind === FrameKind.REQUEST);
    expect(requests).toHaveLength(3);
    expect(requests.every(({ bytes, header }) => bytes === 0 && header.payloadBytes === MIB)).toBe(true);
  });

  it("sends the bytes of a request once it is cleared, and then calls onSent", () => {
    const { link, frames } = recordingLink();
    const peer = new Peer(1, link, 0, 0);
    let sent = 0;
    peer.send(route, new Uint8Array(EAGER_BUDGET_BYTES), null, () => sent++);
    expect(frames.map(({ header }) => header.kind)).toEqual([FrameKind.REQUEST]);
    peer.onClear(frames[0]!.header.request);
    peer.onClear(frames[0]!.header.request);
    expect(frames).toHaveLength(2);
    expect(frames[1]!.header.kind).toBe(FrameKind.DATA);
    expect(frames[1]!.header.flags & FrameFlag.GRANTED).toBeTruthy();
    expect(sent).toBe(0);
    frames[1]!.sent();
    expect(sent).toBe(1);
  });

  it("sends eagerly again when the peer has consumed", () => {
    const { link, frames } = recordingLink();
    const peer = new Peer(1, link, 0, 0);
    peer.send(route, new Uint8Array(EAGER_BUDGET_BYTES - HEADER_BYTES), null, () => {});
    peer.send(route, new Uint8Array(1), null, () => {});
    peer.onConsumed(EAGER_BUDGET_BYTES);
    peer.send(route, new Uint8Array(1), null, () => {});
    expect(frames.map(({ header }) => header.kind)).toEqual([FrameKind.DATA, FrameKind.REQUEST, FrameKind.DATA]);
  });

  it("tells what it consumed in halves of the budget where it sends nothing else", () => {
    const { link, frames } = recordingLink();
    const peer = new Peer(1, link, 0, 0);
    for (let i = 0; i < 8; i++) peer.consumed(EAGER_BUDGET_BYTES / 8);
    expect(frames.map(({ header }) => header.kind)).toEqual([FrameKind.CONSUMED, FrameKind.CONSUMED]);
    expect(frames.reduce((sum, { header }) => sum + header.request, 0)).toBe(
      8 * (EAGER_BUDGET_BYTES / 8 + HEADER_BYTES),
    );
  });

  it("tells what it consumed with the next frame that has no request number, once", () => {
    const { link, frames } = recordingLink();
    const peer = new Peer(1, link, 0, 0);
    peer.consumed(100);
    peer.consumed(200);
    peer.send(route, new Uint8Array(EAGER_BUDGET_BYTES), null, () => {});
    peer.onClear(frames[0]!.header.request);
    for (let i = 0; i < 2; i++) peer.send(route, new Uint8Array(1), null, () => {});
    peer.consumed(5);
    peer.control(5, new Uint8Array(1));
    const { REQUEST, DATA, CONTROL } = FrameKind;
    expect(frames.map(({ header }) => header.kind)).toEqual([REQUEST, DATA, DATA, DATA, CONTROL]);
    expect(frames.map(({ header }) => header.request)).toEqual([1, 1, 300 + 2 * HEADER_BYTES, 0, 5 + HEADER_BYTES]);
  });

  it("a cancelled send is never sent, and data for a cancelled receive is not written", () => {
    const { link, frames } = recordingLink();
    const peer = new Peer(1, link, 0, 0);
    const waiting = peer.send(route, new Uint8Array(EAGER_BUDGET_BYTES), null, () => {});
    waiting!.cancel();
    peer.onClear(frames[0]!.header.request);
    expect(frames).toHaveLength(1);

    const into = new Uint8Array(4);
    const header = { ...frames[0]!.header, request: 9, payloadBytes: 4 };
    const receive = {
      peer: 1,
      into,
      cancelled: false,
      onCancelled: null,
      begin: () => {},
      done: () => {},
      fail: () => {},
    };
    peer.request(header).deliver(receive);
    receive.cancelled = true;
    peer.onGranted(header, new FragmentsPayload([new Uint8Array([1, 2, 3, 4])]));
    expect([...into]).toEqual([0, 0, 0, 0]);
  });
});

/** Frames written by hand. */
import { encodeHeader, FrameKind, type Header } from "../../src/wire/frame.ts";

/** The header of a frame with data for a peer; a payload of so many bytes follows. */
export function dataFrame(peer: number, payloadBytes: number, fields: Partial<Header> = {}): Uint8Array {
  const header = {
    kind: FrameKind.DATA,
    flags: 0,
    peer,
    epoch: 0,
    slot: 0,
    group: 1,
    sequence: 7,
    payloadBytes,
    request: 0,
  };
  return encodeHeader({ ...header, ...fields }, null);
}

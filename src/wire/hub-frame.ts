/** The frames in which a hub and its members speak to each other: control, to or from HUB_PEER. */
import { encodeControl } from "./control.ts";
import { encodeHeader, FrameKind, HUB_PEER } from "./frame.ts";

/** Header and payload of one message between a hub and a member. */
export function encodeHubFrame(message: object): [header: Uint8Array, payload: Uint8Array] {
  const payload = encodeControl(message);
  return [hubFrameHeader(payload.byteLength), payload];
}

/** The header of such a message. */
export function hubFrameHeader(payloadBytes: number): Uint8Array {
  return encodeHeader(
    {
      kind: FrameKind.CONTROL,
      flags: 0,
      peer: HUB_PEER,
      epoch: 0,
      slot: 0,
      group: 0,
      sequence: 0,
      payloadBytes,
      request: 0,
    },
    null,
  );
}

/** The frames in which a hub and its members speak to each other: control, to or from HUB_PEER. */
import { encodeControl } from "./control.ts";
import { encodeHeader, FrameKind, HUB_PEER } from "./frame.ts";

/** Header and payload of one message between a hub and a member. */
export function encodeHubFrame(message: object): [header: Uint8Array, payload: Uint8Array] {
  const payload = encodeControl(message);
  const header = encodeHeader(
    {
      kind: FrameKind.CONTROL,
      flags: 0,
      peer: HUB_PEER,
      epoch: 0,
      slot: 0,
      group: 0,
      sequence: 0,
      payloadBytes: payload.byteLength,
      request: 0,
    },
    null,
  );
  return [header, payload];
}

/** Early frames: what came for groups that this rank has not made yet. */
import { ProtocolError } from "../errors.ts";
import type { Payload } from "../link/link.ts";
import type { Fingerprint, Header } from "../wire/frame.ts";
import { EAGER_BUDGET_BYTES, type Peer } from "./peer.ts";

/** Most bytes of one peer that wait, frames' own costs included: what it may send eagerly, and as much of other frames. */
const MAX_BYTES = 2 * EAGER_BUDGET_BYTES;

/** A frame whose payload is kept. */
export interface EarlyFrame {
  readonly peer: Peer;
  readonly header: Header;
  readonly fingerprint: Fingerprint | null;
  readonly payload: Payload;
}

/** See the file's head. */
export class EarlyFrames {
  readonly #byGroup = new Map<number, EarlyFrame[]>();

  /** @throws ProtocolError if more of its peer waits than may. */
  keep(frame: EarlyFrame): void {
    const { peer, header, payload } = frame;
    const frames = this.#byGroup.get(header.group) ?? [];
    frames.push(frame);
    this.#byGroup.set(header.group, frames);
    peer.earlyBytes += costOf(payload);
    if (peer.earlyBytes > MAX_BYTES) throw new ProtocolError("too much for groups that there are not");
  }

  /** Those of a group, in order: they wait no longer. */
  take(group: number): readonly EarlyFrame[] {
    const frames = this.#byGroup.get(group) ?? [];
    this.#byGroup.delete(group);
    for (const { peer, payload } of frames) peer.earlyBytes -= costOf(payload);
    return frames;
  }

  /** Those of epochs before `epoch`: they wait no longer. */
  takeOlder(epoch: number): readonly EarlyFrame[] {
    const all = [...this.#byGroup.keys()].flatMap((group) => this.take(group));
    for (const frame of all) if (frame.header.epoch >= epoch) this.keep(frame);
    return all.filter(({ header }) => header.epoch < epoch);
  }
}

/** What a frame costs that waits. */
const costOf = (payload: Payload) => payload.byteLength + 256;

/** Draws: what the fuzzer sends, drawn from a seed: right for the most part, so that what follows is not ignored. */
import type { SeededRandom } from "../../src/support/seeded-random.ts";
import { encodeControl } from "../../src/wire/control.ts";
import { encodeHeader, type Fingerprint, FrameFlag, FrameKind, type Header, HUB_PEER } from "../../src/wire/frame.ts";
import { encodeHubFrame } from "../../src/wire/hub-frame.ts";

/** The group of the ranks that are attacked, and the call that they make. */
export const GROUP = 77;
export const CALL: Fingerprint = {
  ...{ collective: 0, dtype: 10, op: 0, root: 0xffffffff, count: 5 },
  ...{ detail: 0, customOp: 0, algorithm: 1, segmentBytes: 65_536, refused: 0, persistent: 0, ahead: 0 },
};

/** The bytes of a part of that call. */
export const PART_BYTES = 20;

const NUMBERS = [0, 1, 2, 3, 7, 64, 255, 256, 4_096, 65_535, 2 ** 31, 2 ** 32 - 1, 2 ** 53 - 1, -1, 1.5, Number.NaN];
const KEYS = ["key", "a", "b", "", "__proto__", "constructor", "n", "queue", "ü\u0000"];
const OPS = ["set", "get", "compareSet", "add", "check", "wait", "deleteKey", "numKeys", "append", "multiGet"];
const MORE_OPS = ["multiSet", "queuePush", "queuePop", "queueLen", "close", "toString"];

export class Draws {
  readonly random: SeededRandom;
  /** Calls and slots go on, as those of a member that keeps the rules. */
  #id = 0;
  #slot = 0;

  constructor(random: SeededRandom) {
    this.random = random;
  }

  chance(one: number): boolean {
    return this.random.below(one) === 0;
  }

  number(): number {
    return this.random.pick(NUMBERS);
  }

  bytes(most: number): Uint8Array {
    const length = this.chance(4) ? 0 : this.random.below(most);
    return Uint8Array.from({ length }, () => this.random.below(256));
  }

  /** Any value that a control message can hold. */
  value(depth = 0): unknown {
    const kind = this.random.below(depth > 2 ? 6 : 8);
    if (kind === 0) return null;
    if (kind === 1) return this.chance(2);
    if (kind === 2 || kind === 3) return this.number();
    if (kind === 4) return this.bytes(40);
    if (kind === 5) return this.random.pick(KEYS);
    const items = Array.from({ length: this.random.below(5) }, () => this.value(depth + 1));
    if (kind === 6) return items;
    return Object.fromEntries(items.map((item, i) => [`field ${i}`, item]));
  }

  /** The bytes with some changed, cut off, put in or taken out. */
  mutated(bytes: Uint8Array): Uint8Array {
    const { random } = this;
    const changed = [...bytes];
    for (let times = 1 + random.below(3); times > 0; times--) {
      const at = random.below(changed.length + 1);
      const kind = random.below(5);
      if (kind === 0) changed.length = at;
      else if (kind === 1) changed.splice(at, random.below(9));
      else if (kind === 2) changed.splice(at, 0, ...this.bytes(12));
      else if (at < changed.length)
        changed[at] = kind === 3 ? random.below(256) : changed[at]! ^ (1 << random.below(8));
    }
    return Uint8Array.from(changed);
  }

  /** One of `n` messages is not as it should be. */
  maybeMutated(bytes: Uint8Array, n: number): Uint8Array {
    return this.chance(n) ? this.mutated(bytes) : bytes;
  }

  /** A message of a member to a hub; `rank` is its own of four. */
  toHub(rank: number): Uint8Array {
    const kind = this.random.below(12);
    if (kind < 5) return framed(this.#storeCall());
    if (kind < 7) return this.#fold();
    if (kind < 9) return this.toPeer(this.chance(8) ? this.number() : (rank + 1 + this.random.below(3)) % 4);
    return framed(this.#control(rank));
  }

  /** A frame for a rank, or from one, whose number stands in it. */
  toPeer(peer: number): Uint8Array {
    const { random } = this;
    const kinds = [FrameKind.DATA, FrameKind.REQUEST, FrameKind.CLEAR, FrameKind.CONSUMED, FrameKind.ANNOUNCE];
    const kind = this.chance(3) ? FrameKind.CONTROL : this.chance(20) ? random.below(256) : random.pick(kinds);
    const group = this.chance(6) ? 0 : this.chance(20) ? random.below(5) : GROUP;
    const flags = (this.chance(4) ? FrameFlag.POINT_TO_POINT : 0) | (this.chance(8) ? FrameFlag.GRANTED : 0);
    const payload =
      kind === FrameKind.CONTROL
        ? this.#peerMessage(group)
        : kind === FrameKind.DATA
          ? this.#part()
          : new Uint8Array(0);
    const call = this.chance(3)
      ? { ...CALL, root: random.below(3), count: this.chance(4) ? random.below(9) : 5 }
      : CALL;
    const rest = {
      peer,
      epoch: this.chance(30) ? random.below(3) : 0,
      slot: random.below(3),
      group,
      sequence: 1 + random.below(12),
    };
    const declared = kind === FrameKind.REQUEST ? random.below(100) : payload.length;
    const header: Header = { kind, flags, ...rest, payloadBytes: declared, request: random.below(5) };
    const head = encodeHeader(header, this.chance(2) && kind !== FrameKind.CONTROL ? call : null);
    return joined(head, payload);
  }

  /** A part of a tensor: mostly of the length that the rank under attack waits for, and no two alike. */
  #part(): Uint8Array {
    if (this.chance(3)) return this.bytes(64);
    return Uint8Array.from({ length: PART_BYTES }, () => this.random.below(256));
  }

  /** A message of a hub to its member. */
  fromHub(): Uint8Array {
    const kind = this.random.below(8);
    if (kind < 2) return this.toPeer(1);
    if (kind === 2) return this.#fold();
    const error = this.#error();
    const rank = this.chance(5) ? this.number() : 1;
    return framed(
      this.random.pick<object>([
        { type: "result", id: this.#id++, ok: this.value() },
        { type: "result", id: this.#id++, error },
        { type: "lost", rank, reason: "its connection closed" },
        { type: "left", rank, cause: this.chance(2) ? null : error },
        { type: "damaged", rank, seen: "a header" },
        { type: "checksums" },
      ]),
    );
  }

  #storeCall(): object {
    const { random } = this;
    const op = this.chance(8) ? random.pick(MORE_OPS) : random.pick(OPS);
    const keys = Array.from({ length: random.below(4) }, () => random.pick(KEYS));
    const key = random.pick(KEYS);
    const args: Record<string, unknown[]> = {
      ...{ set: [key, this.bytes(60)], get: [key, random.below(3)], compareSet: [key, this.bytes(3), this.bytes(9)] },
      ...{
        add: ["n", random.pick([1, -1, "9", this.number()])],
        check: [keys],
        wait: [keys, random.below(3)],
        deleteKey: [key],
      },
      ...{
        append: [key, this.bytes(60)],
        multiGet: [keys, random.below(3)],
        multiSet: [keys, keys.map(() => this.bytes(9))],
      },
      ...{
        queuePush: ["queue", this.bytes(20)],
        queuePop: ["queue", this.chance(2), random.below(3)],
        queueLen: ["queue"],
      },
    };
    const right = Object.hasOwn(args, op) ? args[op]! : [];
    return { type: "call", id: this.#id++, op, args: this.chance(8) ? right.map(() => this.value()) : right };
  }

  #control(rank: number): object {
    const ranks = [rank, (rank + 1) % 4];
    const group = GROUP + this.random.below(2);
    return this.random.pick<object>([
      { type: "group", group, ranks: this.chance(5) ? this.value() : ranks },
      { type: "group", group, ranks },
      { type: "group-end", group },
      { type: "cancel", group, sequence: 1 + this.random.below(4) },
      {
        type: "members",
        epoch: this.chance(4) ? this.number() : 0,
        ranks: this.chance(4) ? this.value() : [0, 1, 2, 3],
      },
      { type: this.chance(9) ? "goodbye" : "group", group, ranks, cause: this.#error() },
      { type: this.chance(9) ? "damaged" : "group", group, ranks, seen: this.random.pick(KEYS) },
      { type: this.random.pick(KEYS), field: this.value() },
    ]);
  }

  #fold(): Uint8Array {
    const payload = new Uint8Array(4 * this.random.below(8));
    const fingerprint = {
      ...CALL,
      dtype: this.random.below(this.chance(6) ? 256 : 12),
      op: this.random.below(this.chance(6) ? 256 : 8),
    };
    const slot = this.chance(6) ? 0 : this.#slot++;
    const rest = {
      kind: FrameKind.FOLD,
      flags: 0,
      peer: HUB_PEER,
      epoch: 0,
      group: GROUP,
      sequence: 1 + (slot >> 3),
      slot,
    };
    const header = { ...rest, payloadBytes: payload.length, request: this.random.below(4) };
    return joined(encodeHeader(header, this.chance(20) ? null : fingerprint), payload);
  }

  #peerMessage(group: number): Uint8Array {
    const sequence = this.chance(6) ? Math.max(0, Math.floor(this.number()) || 0) : this.random.below(12);
    const error = this.#error();
    const about = group === 0 ? ["lost", "damaged", "membership"] : ["mismatch", "verdict", "probe", "probe-reply"];
    const type = this.chance(12) ? this.random.pick(["abort", "goodbye", "leave"]) : this.random.pick(about);
    const fields = { sequence, error, rank: this.random.below(4), reason: "gone", seen: "seen", message: this.value() };
    return encodeControl({ type, id: this.random.below(4), entered: true, waitingFor: [0, 1], ...fields });
  }

  #error(): object {
    const codes = ["MISMATCH", "PEER_LOST", "TIMEOUT", "ABORTED", "HUB_LOST", "PROTOCOL", "nothing"];
    const details = {
      group: "g",
      rank: this.chance(4) ? this.number() : 1,
      missingRanks: this.chance(4) ? this.value() : [0],
    };
    const peer = this.chance(3) ? {} : { peer: this.random.below(3) };
    return { code: this.random.pick(codes), message: "an error", details: { ...details, ...peer } };
  }
}

const joined = (...parts: Uint8Array[]) => Uint8Array.from(Buffer.concat(parts));
const framed = (message: object) => joined(...encodeHubFrame(message));

/** A message as the bytes of one WebSocket frame of a client. */
export function webSocketFrame(payload: Uint8Array, first = 0x82): Buffer {
  const long = payload.length > 65_535 ? 8 : payload.length > 125 ? 2 : 0;
  const frame = Buffer.alloc(2 + long + 4 + payload.length);
  frame[0] = first;
  frame[1] = 0x80 | (long === 0 ? payload.length : long === 2 ? 126 : 127);
  if (long === 2) frame.writeUInt16BE(payload.length, 2);
  if (long === 8) frame.writeBigUInt64BE(BigInt(payload.length), 2);
  frame.set(payload, 2 + long + 4);
  return frame;
}

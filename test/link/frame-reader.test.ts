import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ProtocolError } from "../../src/errors.ts";
import { loadChecksums } from "../../src/executor/checksum/checksums.ts";
import type { Payload } from "../../src/link/link.ts";
import { FrameReader } from "../../src/link/payload/frame-reader.ts";
import {
  decodeHeader,
  encodeHeader,
  FINGERPRINT_BYTES,
  type Fingerprint,
  FrameKind,
  HEADER_BYTES,
} from "../../src/wire/frame.ts";
import { DamagedFrameError, FrameSums } from "../../src/wire/frame-sums.ts";

const CALL: Fingerprint = {
  collective: 1,
  dtype: 10,
  op: 0,
  root: 0,
  count: 5,
  detail: 0,
  customOp: 0,
  algorithm: 9,
  refused: 0,
  persistent: 0,
  ahead: 0,
  segmentBytes: 4,
};

function message(kind: number, declared: number, bytes: Uint8Array, call: Fingerprint | null = null): Uint8Array {
  const fields = { flags: 0, peer: 1, epoch: 0, slot: 2, group: 3, sequence: 4, request: 0 };
  const head = encodeHeader({ ...fields, kind, payloadBytes: declared }, call);
  return new Uint8Array([...head, ...bytes]);
}

/** Room for a message, and whether it is full. */
function room(byteLength: number, into: Uint8Array = new Uint8Array(byteLength)) {
  const to = { into, cancelled: false, onCancelled: null as (() => void) | null, full: false, done: () => {} };
  to.done = () => {
    to.full = true;
  };
  return to;
}

/** A socket that reads where it is told, and whether that was taken back. */
function reads() {
  const socket = {
    withdrawn: 0,
    withdrawRoom: () => {
      socket.withdrawn += 1;
    },
  };
  return socket;
}

/** Puts `bytes` where the reader says, as far as it does, and hands them over. */
function readTo(reader: FrameReader, bytes: Uint8Array, last: boolean): void {
  for (let at = 0; at < bytes.byteLength; ) {
    const room = reader.room();
    const part = room ? room.subarray(0, bytes.byteLength - at) : bytes.slice(at);
    if (room) part.set(bytes.subarray(at, at + part.byteLength));
    at += part.byteLength;
    reader.push(part, last && at === bytes.byteLength);
  }
}

describe("FrameReader", () => {
  it("gives the same bytes wherever messages are cut", () => {
    const one = fc.record({
      kind: fc.constantFrom(FrameKind.DATA, FrameKind.CONTROL),
      bytes: fc.uint8Array({ maxLength: 300 }),
      call: fc.boolean(),
      late: fc.boolean(),
    });
    const messages = fc.array(one, { maxLength: 6 });
    const cutLengths = fc.infiniteStream(fc.integer({ min: 1, max: 90 }));
    fc.assert(
      fc.property(messages, cutLengths, fc.boolean(), (sent, cuts, inRoom) => {
        const got: number[][] = [];
        const kept: { payload: Payload; index: number }[] = [];
        const reader = new FrameReader((head, payload) => {
          const index = got.push([]) - 1;
          expect(head.byteLength).toBe(HEADER_BYTES + FINGERPRINT_BYTES);
          expect(decodeHeader(head).payloadBytes).toBe(payload.byteLength);
          const to = room(payload.byteLength);
          to.done = () => {
            got[index] = Array.from(to.into);
          };
          if (!payload.fill) {
            payload.copyTo(to.into);
            to.done();
          } else if (sent[index]!.late) kept.push({ payload: payload.keep(), index });
          else payload.fill(to);
        }, reads());
        for (const { kind, bytes, call } of sent) {
          const whole = message(kind, bytes.byteLength, bytes, call ? CALL : null);
          for (let at = 0; at < whole.byteLength; ) {
            const cut = cuts.next().value;
            const last = at + cut >= whole.byteLength;
            if (inRoom) readTo(reader, whole.slice(at, at + cut), last);
            else reader.push(whole.slice(at, at + cut), last);
            at += cut;
          }
        }
        for (const { payload, index } of kept) {
          const to = room(payload.byteLength);
          payload.fill!(to);
          expect(to.full).toBe(true);
          got[index] = Array.from(to.into);
        }
        expect(got).toEqual(sent.map(({ bytes }) => Array.from(bytes)));
      }),
    );
  });

  it("hands a data frame over at its head, and puts its bytes where they belong as they come", () => {
    const to = room(6);
    const reader = new FrameReader((_head, payload) => payload.fill!(to), reads());
    const whole = message(FrameKind.DATA, 6, new Uint8Array([1, 2, 3, 4, 5, 6]));
    reader.push(whole.subarray(0, HEADER_BYTES + 3), false);
    expect([...to.into, to.full]).toEqual([1, 2, 3, 0, 0, 0, false]);
    reader.push(whole.subarray(HEADER_BYTES + 3), true);
    expect([...to.into, to.full]).toEqual([1, 2, 3, 4, 5, 6, true]);
  });

  it("goes on into the room that is found while a kept message is still coming", () => {
    const to = room(4);
    let kept: Payload | null = null;
    const reader = new FrameReader((_head, payload) => {
      kept = payload.keep();
    }, reads());
    const whole = message(FrameKind.DATA, 4, new Uint8Array([1, 2, 3, 4]));
    const buffer = whole.slice(0, HEADER_BYTES + 2);
    reader.push(buffer, false);
    buffer.fill(99);
    kept!.fill!(to);
    expect([...to.into, to.full]).toEqual([1, 2, 0, 0, false]);
    reader.push(whole.subarray(HEADER_BYTES + 2), true);
    expect([...to.into, to.full]).toEqual([1, 2, 3, 4, true]);
  });

  it("writes nothing to a room that is cancelled", () => {
    const to = room(4);
    const reader = new FrameReader((_head, payload) => payload.fill!(to), reads());
    const whole = message(FrameKind.DATA, 4, new Uint8Array([1, 2, 3, 4]));
    reader.push(whole.subarray(0, HEADER_BYTES + 2), false);
    to.cancelled = true;
    reader.push(whole.subarray(HEADER_BYTES + 2), true);
    expect([...to.into]).toEqual([1, 2, 0, 0]);
  });

  it("lends a socket the room of the message under way, if nobody can detach it, until it is cancelled", () => {
    const socket = reads();
    const to = room(4, new Uint8Array(new SharedArrayBuffer(8), 2, 4));
    const reader = new FrameReader((_head, payload) => payload.fill!(to), socket);
    const whole = message(FrameKind.DATA, 4, new Uint8Array([1, 2, 3, 4]));
    expect(reader.room()).toBe(null);
    reader.push(whole.subarray(0, HEADER_BYTES + 1), false);
    const lent = reader.room()!;
    expect([lent.buffer === to.into.buffer, lent.byteOffset, lent.byteLength]).toEqual([true, 3, 3]);
    to.cancelled = true;
    to.onCancelled!();
    expect(socket.withdrawn).toBe(1);
    expect(reader.room()).toBe(null);

    const detachable = room(4);
    const other = new FrameReader((_head, payload) => payload.fill!(detachable), socket);
    other.push(whole.subarray(0, HEADER_BYTES + 1), false);
    expect(other.room()).toBe(null);
  });

  it("refuses a message without a whole head, and one longer or shorter than its header says", () => {
    const frames = [
      new Uint8Array(0),
      new Uint8Array(HEADER_BYTES),
      message(FrameKind.DATA, 0, new Uint8Array(0), CALL).subarray(0, HEADER_BYTES + FINGERPRINT_BYTES - 1),
      message(FrameKind.DATA, 4, new Uint8Array(3)),
      message(FrameKind.DATA, 4, new Uint8Array(5)),
      message(FrameKind.DATA, 0xffff_ffff, new Uint8Array(5)),
    ];
    for (const bytes of frames) {
      const reader = new FrameReader((_head, payload) => void payload.keep(), reads());
      expect(() => reader.push(bytes, true)).toThrow(ProtocolError);
    }
  });

  /** Four frames of a link with checksums, from rank 1 to rank 5. */
  async function sealedFrames() {
    const sums = new FrameSums(await loadChecksums(null));
    const payload = Uint8Array.from({ length: 70 }, (_, i) => i * 5);
    const frames = [
      message(FrameKind.DATA, 70, payload, CALL),
      message(FrameKind.DATA, 70, payload),
      message(FrameKind.CONTROL, 70, payload),
      message(FrameKind.REQUEST, 70, new Uint8Array(0), CALL),
    ];
    for (const [i, frame] of frames.entries()) {
      const headEnd = HEADER_BYTES + (i === 0 || i === 3 ? FINGERPRINT_BYTES : 0);
      sums.seal(frame.subarray(0, headEnd), [frame.subarray(headEnd)], 1, 5);
    }
    return { frames, payload, sums };
  }

  /** What comes of frames that are cut into pieces of `step` bytes: the payloads that receives were told of. */
  function readAll(frames: readonly Uint8Array[], step: number, sums: FrameSums, own = 5): number[][] {
    const done: number[][] = [];
    const reader = new FrameReader(
      (_head, payload) => {
        const to = room(payload.byteLength);
        to.done = () => done.push(Array.from(to.into));
        if (payload.fill) payload.fill(to);
        else {
          payload.copyTo(to.into);
          to.done();
        }
      },
      reads(),
      { sums, own, other: 1 },
    );
    for (const frame of frames) {
      for (let at = 0; at < frame.byteLength; at += step) {
        reader.push(frame.slice(at, at + step), at + step >= frame.byteLength);
      }
    }
    return done;
  }

  it("takes frames with right checksums, and none that another rank was to get", async () => {
    const { frames, payload, sums } = await sealedFrames();
    const whole = Array.from(payload);
    for (const step of [1, 17, 60, 1_000]) expect(readAll(frames, step, sums)).toEqual([whole, whole, whole, []]);
    expect(() => readAll(frames, 60, sums, 4)).toThrow(DamagedFrameError);
  });

  it("refuses a frame of which any byte changed, and tells no receive that it is there", async () => {
    const { frames, sums } = await sealedFrames();
    for (const frame of frames) {
      for (let at = 0; at < frame.byteLength; at++) {
        for (const change of [1, 128, 255]) {
          const changed = frame.slice();
          changed[at]! ^= change;
          for (const step of [13, 1_000]) {
            let done: number[][] = [];
            expect(() => {
              done = readAll([changed], step, sums);
            }, `byte ${at} of ${frame.byteLength}`).toThrow(DamagedFrameError);
            expect(done).toEqual([]);
          }
        }
      }
    }
  });

  it("refuses a frame that ends early or goes on too long, as a message of another length does", async () => {
    const { frames, sums } = await sealedFrames();
    for (const frame of frames) {
      expect(() => readAll([frame.subarray(0, frame.byteLength - 1)], 13, sums)).toThrow(DamagedFrameError);
      expect(() => readAll([Uint8Array.from([...frame, 0])], 13, sums)).toThrow(DamagedFrameError);
    }
  });
});

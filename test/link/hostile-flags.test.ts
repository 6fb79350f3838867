/** A peer of a file link that writes anything into its own file: what this rank reads and writes stays within the ring, and every loop ends. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ProtocolError } from "../../src/errors.ts";
import { controlAt, Flag, layoutOf, ringAt } from "../../src/link/files/layout.ts";
import { FileLink, type Half } from "../../src/link/files/link.ts";
import { RingReader, RingWriter } from "../../src/link/files/ring-buffer.ts";
import type { Link, LinkReceiver } from "../../src/link/link.ts";
import type { MemoryFile } from "../../src/platform.ts";
import { gateBytes, WAKE_UPS } from "../../src/region/addressable/gate-words.ts";
import { ProcessSleep } from "../../src/region/addressable/process-sleep.ts";

/** A file in this process's memory. `beforeRead` is the hostile rank, which may write before each read. */
function fileOf(bytes: Uint8Array, beforeRead = () => {}): MemoryFile & { touched: [number, number][] } {
  const touched: [number, number][] = [];
  const part = (position: number, byteLength: number) => {
    touched.push([position, position + byteLength]);
    if (!(position >= 0 && position + byteLength <= bytes.byteLength)) throw new RangeError("outside the file");
    return bytes.subarray(position, position + byteLength);
  };
  return {
    touched,
    read(target, position) {
      beforeRead();
      target.set(part(position, target.byteLength));
    },
    write: (source, position) => part(position, source.byteLength).set(source),
    reserve: () => {},
    close: () => {},
  };
}

const RING = 4096;
const AT = 1024;
/** Positions that a flag may tell: near the truth, anywhere, and no numbers at all. */
const flags = fc.oneof(
  fc.integer({ min: -2 * RING, max: 8 * RING }),
  fc.integer({ min: 0, max: 64 }).map((lines) => 64 * lines),
  fc.double(),
  fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0),
);
const isInRing = ([start, end]: [number, number]) => start >= AT && end <= AT + RING;

describe("RingWriter", () => {
  it("writes within its ring, or throws a ProtocolError, whatever the reader says", () => {
    const steps = fc.array(fc.record({ payload: fc.nat(4 * RING), read: flags }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(steps, (drawn) => {
        const file = fileOf(new Uint8Array(AT + RING + AT));
        const writer = new RingWriter({ file, at: AT, ringBytes: RING });
        for (const { payload, read } of drawn) {
          writer.push(new Uint8Array(40), new Uint8Array(payload), undefined);
          try {
            writer.write(read);
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolError);
          }
        }
        expect(file.touched.filter((one) => !isInRing(one))).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});

describe("RingReader", () => {
  it("reads within its ring, hands over what is there, or throws a ProtocolError, whatever the writer says", () => {
    const word = fc.oneof(fc.nat(200), fc.integer({ min: 0, max: 0xffff_ffff }));
    const steps = fc.array(fc.record({ written: flags, at: fc.nat(RING / 4 - 1), word }), {
      minLength: 1,
      maxLength: 20,
    });
    fc.assert(
      fc.property(steps, (drawn) => {
        const bytes = new Uint8Array(AT + RING + AT);
        const words = new Uint32Array(bytes.buffer, AT, RING / 4);
        const file = fileOf(bytes);
        const reader = new RingReader({ file, at: AT, ringBytes: RING });
        for (const { written, at, word: value } of drawn) {
          words[at] = value;
          try {
            for (let records = 0; reader.next(written, (_, payload) => void payload.keep()); records++) {
              expect(records).toBeLessThanOrEqual(RING / 64);
            }
            reader.makeRoom(written);
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolError);
          }
        }
        expect(file.touched.filter((one) => !isInRing(one))).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});

/** A link of rank 0 to a hostile rank 1, and what came of it. */
function linkTo(beforeRead: (theirs: DataView, flagsAt: number, ringStart: number) => void) {
  const layouts = [layoutOf(0, [1], false), layoutOf(1, [0], false)] as const;
  const [own, theirs] = layouts.map((layout) => new Uint8Array(ringAt(layout, 1)));
  const view = new DataView(theirs!.buffer);
  const half = (bytes: Uint8Array, hook = () => {}): Half => {
    const file = fileOf(bytes, hook);
    return {
      file,
      controlAt: controlAt(0),
      ring: { file, at: ringAt(layouts[0], 0), ringBytes: layouts[0].ringBytes },
    };
  };
  let underneath: LinkReceiver | null = null;
  const seen = { frames: 0, closed: 0, ended: 0, errors: [] as unknown[] };
  const link = new FileLink({
    kind: "shared-file",
    rank: 0,
    own: half(own!),
    theirs: half(theirs!, () => beforeRead(view, controlAt(0), ringAt(layouts[0], 0))),
    underneath: {
      start: (receiver: LinkReceiver) => (underneath = receiver),
      send: () => {},
      close: () => {},
    } as Partial<Link> as Link,
    onWork: () => {},
    onWake: () => {},
    onEnd: () => seen.ended++,
    onError: (error) => seen.errors.push(error),
  });
  link.start({
    onFrame: () => void seen.frames++,
    onDamaged: () => {},
    onClose: () => void seen.closed++,
  });
  return { link, seen, underneath: underneath! as LinkReceiver };
}

describe("FileLink", () => {
  it("hands over what was written when the peer went, and ends, though the peer's process goes on writing", () => {
    const LINES = 100;
    let more = LINES * 64;
    // A record is a line: a header of 40 bytes and no payload.
    const { seen, underneath } = linkTo((view, flagsAt, ringStart) => {
      for (let line = 0; line < 16_384; line += 1) view.setUint32(ringStart + 64 * line, 40, true);
      view.setFloat64(flagsAt + Flag.WRITTEN, more, true);
      more += 64;
    });
    underneath.onClose();
    expect(seen).toEqual({ frames: LINES, closed: 1, ended: 1, errors: [] });
  });

  it("ends with an error that its sender does not get, whatever the peer says to have read", () => {
    fc.assert(
      fc.property(fc.array(flags, { minLength: 1, maxLength: 6 }), fc.nat(3 * 2 ** 20), (told, payload) => {
        const next = [...told];
        const { link, seen } = linkTo((view, flagsAt) => {
          const read = next.shift();
          if (read !== undefined) view.setFloat64(flagsAt + Flag.READ, read, true);
        });
        for (let turn = 0; turn <= told.length; turn++) {
          link.send(new Uint8Array(40), new Uint8Array(payload));
          link.attend();
        }
        for (const error of seen.errors) expect(error).toBeInstanceOf(ProtocolError);
        expect(seen.errors.length).toBe(seen.ended);
        expect(seen.ended).toBeLessThanOrEqual(1);
      }),
      { numRuns: 60 },
    );
  });
});

describe("ProcessSleep", () => {
  it("lets the event loop turn though another rank changes the word at every look", async () => {
    const words = new Int32Array(new SharedArrayBuffer(gateBytes(2)));
    let turns = 0;
    const sleep = new ProcessSleep({
      ...{ words, rank: 0, size: 2, block: () => {}, wakeBlocked: () => {}, wake: () => {} },
      turn: async () => void turns++,
    });
    for (let look = 0; look < 50; look++) {
      const seen = Atomics.add(words, WAKE_UPS, 1);
      await sleep.wait(seen);
    }
    expect(turns).toBe(50);
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { closePayload, controlFrame, Opcode, writeFrameHeader } from "../../src/link/websocket/frame.ts";
import { MAX_MESSAGE_FRAMES, WebSocketReceiver, WebSocketViolation } from "../../src/link/websocket/receiver.ts";

const MAX_MESSAGE_BYTES = 200_000;

/** A receiver that records what it hears, messages whole. */
function recorder(masked: boolean, maxMessageBytes = MAX_MESSAGE_BYTES) {
  const heard: [what: string, ...bytes: number[]][] = [];
  let message: number[] = [];
  const receiver = new WebSocketReceiver({
    masked,
    maxMessageBytes,
    events: {
      onData: (bytes, last) => {
        message = message.concat(Array.from(bytes));
        if (!last) return;
        heard.push(["message", ...message]);
        message = [];
      },
      onPing: (payload) => heard.push(["ping", ...payload]),
      onPong: () => heard.push(["pong"]),
      onClose: (code, reason) => heard.push([`close ${code} ${reason}`]),
    },
  });
  return { receiver, heard };
}

/** A frame written by the letter of RFC 6455, without the code under test. */
function frame(first: number, payload: Uint8Array, mask: readonly number[] | null): number[] {
  const { length } = payload;
  const maskBit = mask ? 0x80 : 0;
  const size =
    length < 126
      ? [maskBit | length]
      : length < 65_536
        ? [maskBit | 126, length >> 8, length & 255]
        : [maskBit | 127, 0, 0, 0, 0, (length >> 24) & 255, (length >> 16) & 255, (length >> 8) & 255, length & 255];
  const bytes = mask ? payload.map((byte, i) => byte ^ mask[i % 4]!) : payload;
  return [first, ...size, ...(mask ?? []), ...bytes];
}

const byte = fc.integer({ min: 0, max: 255 });
const length = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constantFrom(125, 126, 65_535, 65_536, 70_001));
const control = fc.oneof(
  fc.record({ opcode: fc.constant(Opcode.PING), payload: fc.uint8Array({ maxLength: 125 }) }),
  fc.constant({ opcode: Opcode.PONG, payload: new Uint8Array(0) }),
);
/** Messages in fragments, before each of which a control frame may come. */
const messages = fc.array(
  fc.array(fc.record({ length, seed: byte, before: fc.option(control) }), { minLength: 1, maxLength: 3 }),
  { maxLength: 4 },
);
const masks = fc.option(fc.tuple(byte, byte, byte, byte), { nil: null });

describe("WebSocketReceiver", () => {
  it("hears the same from a valid stream wherever it is cut, and leaves its bytes as they are meant", () => {
    fc.assert(
      fc.property(messages, masks, fc.infiniteStream(fc.integer({ min: 1, max: 40_000 })), (sent, mask, cuts) => {
        const stream: number[] = [];
        const expected: unknown[] = [];
        for (const fragments of sent) {
          let message: number[] = [];
          fragments.forEach(({ length, seed, before }, i) => {
            if (before) {
              for (const one of frame(0x80 | before.opcode, before.payload, mask)) stream.push(one);
              expected.push(before.opcode === Opcode.PING ? ["ping", ...before.payload] : ["pong"]);
            }
            const payload = Uint8Array.from({ length }, (_, at) => (seed + at * 7) % 256);
            message = message.concat(Array.from(payload));
            const first = (i === fragments.length - 1 ? 0x80 : 0) | (i === 0 ? Opcode.BINARY : Opcode.CONTINUATION);
            for (const one of frame(first, payload, mask)) stream.push(one);
          });
          expected.push(["message", ...message]);
        }
        const { receiver, heard } = recorder(mask !== null, 300_000);
        const bytes = new Uint8Array(stream);
        let at = 0;
        for (const cut of cuts) {
          if (at >= bytes.byteLength) break;
          receiver.push(bytes.subarray(at, at + cut));
          at += cut;
        }
        expect(heard).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  it("hears the same from a stream that comes byte by byte", () => {
    const { receiver, heard } = recorder(true);
    const mask = [1, 2, 3, 4];
    const stream = [
      ...frame(0x02, new Uint8Array([1, 2, 3]), mask),
      ...frame(0x89, new Uint8Array([9]), mask),
      ...frame(0x80, new Uint8Array(300).fill(5), mask),
      ...frame(0x88, closePayload(1000, "done"), mask),
      ...frame(0x82, new Uint8Array([7]), mask),
    ];
    for (const one of stream) receiver.push(new Uint8Array([one]));
    expect(heard).toEqual([["ping", 9], ["message", 1, 2, 3, ...new Array(300).fill(5)], ["close 1000 done"]]);
  });

  it("never throws anything but a violation, whatever comes", () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 }), (masked, chunks) => {
        const { receiver } = recorder(masked);
        try {
          for (const chunk of chunks) receiver.push(chunk);
        } catch (error) {
          expect(error).toBeInstanceOf(WebSocketViolation);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  const zero = [0, 0, 0, 0];
  const nothing = new Uint8Array(0);
  const violations: readonly (readonly [what: string, code: number, bytes: readonly number[]])[] = [
    ["a frame without a mask", 1002, frame(0x82, new Uint8Array(3), null)],
    ["reserved bit 1", 1002, frame(0xc2, nothing, zero)],
    ["reserved bit 2", 1002, frame(0xa2, nothing, zero)],
    ["reserved bit 3", 1002, frame(0x92, nothing, zero)],
    ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(
      (opcode) => [`opcode ${opcode}`, 1002, frame(0x80 | opcode, nothing, zero)] as const,
    ),
    ["text", 1003, frame(0x81, new Uint8Array([104, 105]), zero)],
    ["the first fragment of a text", 1003, frame(0x01, nothing, zero)],
    ["a continuation of nothing", 1002, frame(0x80, nothing, zero)],
    ["a message within a message", 1002, [...frame(0x02, nothing, zero), ...frame(0x82, nothing, zero)]],
    ["a fragmented ping", 1002, frame(0x09, nothing, zero)],
    ["a fragmented close", 1002, frame(0x08, nothing, zero)],
    ["a pong with bytes that no ping had", 1002, frame(0x8a, new Uint8Array(3), zero)],
    ["a ping of 126 bytes", 1002, frame(0x89, new Uint8Array(126), zero)],
    ["a length of 125 in two bytes", 1002, [0x82, 0xfe, 0, 125]],
    ["a length of 65,535 in eight bytes", 1002, [0x82, 0xff, 0, 0, 0, 0, 0, 0, 255, 255]],
    ["a length of 2^53", 1002, [0x82, 0xff, 0, 0x20, 0, 0, 0, 0, 0, 0]],
    ["a length of 2^64 - 1", 1002, [0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255]],
    ["a declared length above the cap", 1009, [0x82, 0xff, 0, 0, 0, 0, 0, 3, 13, 65]],
    [
      "fragments whose sum is above the cap",
      1009,
      [...frame(0x02, new Uint8Array(MAX_MESSAGE_BYTES), zero), ...frame(0x00, new Uint8Array(1), zero)],
    ],
    [
      "too many empty fragments",
      1009,
      [...frame(0x02, nothing, zero), ...new Array(MAX_MESSAGE_FRAMES).fill(frame(0x00, nothing, zero)).flat()],
    ],
    ["a close of one byte", 1002, frame(0x88, new Uint8Array(1), zero)],
    ...[0, 999, 1004, 1005, 1006, 1015, 2999, 5000].map(
      (code) => [`a close with code ${code}`, 1002, frame(0x88, closePayload(code, ""), zero)] as const,
    ),
    ["a close whose reason is no UTF-8", 1002, frame(0x88, new Uint8Array([3, 232, 0xff]), zero)],
  ];
  for (const [what, code, bytes] of violations) {
    it(`refuses ${what} with ${code}, and hears nothing more`, () => {
      const { receiver, heard } = recorder(true);
      // The mask of a length's header is still to come.
      const attempt = () => receiver.push(new Uint8Array([...bytes, 0, 0, 0, 0]));
      expect(attempt).toThrow(expect.objectContaining({ code }));
      receiver.push(new Uint8Array(frame(0x82, new Uint8Array([1]), zero)));
      expect(heard).toEqual([]);
    });
  }

  it("refuses a masked frame at a client", () => {
    const { receiver } = recorder(false);
    expect(() => receiver.push(new Uint8Array(frame(0x82, nothing, zero)))).toThrow(
      expect.objectContaining({ code: 1002 }),
    );
  });

  it("takes as many frames as may be, and a message of exactly the cap", () => {
    const { receiver, heard } = recorder(true);
    const many = [...new Array(MAX_MESSAGE_FRAMES - 1).keys()].flatMap((i) => frame(i === 0 ? 2 : 0, nothing, zero));
    receiver.push(new Uint8Array([...many, ...frame(0x80, nothing, zero)]));
    receiver.push(new Uint8Array(frame(0x82, new Uint8Array(MAX_MESSAGE_BYTES), zero)));
    expect(heard.map(({ length }) => length - 1)).toEqual([0, MAX_MESSAGE_BYTES]);
  });
});

describe("writeFrameHeader()", () => {
  it("writes what RFC 6455 asks for", () => {
    for (const masked of [false, true]) {
      for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 16_777_216]) {
        const header = new Uint8Array(14);
        const written = writeFrameHeader(header, Opcode.BINARY, length, masked);
        const [bytes] = [frame(0x82, new Uint8Array(Math.min(length, 70_000)), masked ? zeroMask : null)];
        const expected = length > 70_000 ? [0x82, masked ? 0xff : 0x7f, 0, 0, 0, 0, 1, 0, 0, 0] : bytes;
        expect(Array.from(header.subarray(0, Math.min(written, expected.length)))).toEqual(expected.slice(0, written));
        expect(written).toBe((length < 126 ? 2 : length < 65_536 ? 4 : 10) + (masked ? 4 : 0));
      }
    }
  });
});

const zeroMask = [0, 0, 0, 0];

describe("controlFrame()", () => {
  it("is read back, and a reason that is too long is cut between characters", () => {
    const { receiver, heard } = recorder(true);
    receiver.push(controlFrame(Opcode.PING, new Uint8Array([1, 2]), true));
    receiver.push(controlFrame(Opcode.CLOSE, closePayload(1008, "é".repeat(100)), true));
    expect(heard).toEqual([["ping", 1, 2], [`close 1008 ${"é".repeat(61)}`]]);
  });
});

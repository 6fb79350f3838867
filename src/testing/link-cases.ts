/**
 * The conformance suite of a link: frames come whole and in order, the bytes are the sender's until it is told otherwise, and a
 * close is told once, behind all frames. A case opens its own links, both ends of which are in this program.
 */
import type { Link, LinkReceiver, Payload } from "../link/link.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { decodeHeader, encodeHeader, type Fingerprint, FrameKind, HEADER_BYTES, type Header } from "../wire/frame.ts";
import { ConformanceError } from "./stage.ts";

/** The two ends of a link, neither of which was started. */
export interface LinkPair {
  /** The link's two ends. */
  readonly ends: readonly [Link, Link];
  /** The ranks of the job at the two ends. */
  readonly ranks: readonly [number, number];
  /** The field `peer` of a frame that each end sends: the own rank, or towards a hub the other's. The receiver finds the sender's rank there. */
  readonly peers: readonly [number, number];
  /** The first end's rank leaves as at the end of a job: it closes its link, and what it had under way arrives. */
  leave(): void;
  /** Gives everything back, at the end of a case. */
  close(): void | Promise<void>;
}

/** One case. */
export interface LinkCase {
  /** The case in words. */
  readonly name: string;
  /** @throws ConformanceError that says what was not as it must be. */
  run(open: () => Promise<LinkPair>): Promise<void>;
}

/** Payloads around the ends of words, of rings, of fragments and of nothing. */
const LENGTHS = [0, 1, 7, 8, 33, 4_095, 4_096, 4_097, 65_535, 65_536, 70_000, 300_001];
/** Most bytes of a control message here: links bound those. */
const CONTROL_BYTES = 4_096;
const GROUP = 77;

const FINGERPRINT: Fingerprint = {
  ...{ refused: 0, persistent: 0, ahead: 0, collective: 1, dtype: 10, op: 0, customOp: 0, root: 3, count: 2 ** 40 + 5 },
  ...{ detail: 2 ** 50 + 1, algorithm: 99, segmentBytes: 65_536 },
};

/** A frame to send, and to be found at the other end. */
interface Sent {
  readonly header: Header;
  readonly head: Uint8Array;
  readonly payload: Uint8Array;
}

/** A frame as it came. */
interface Came {
  readonly head: Uint8Array;
  bytes(): Promise<Uint8Array>;
}

/** Every case of the suite. */
export const LINK_CASES: readonly LinkCase[] = [
  {
    name: "frames of every length come whole and in order, both ways at once",
    run: (open) =>
      withPair(open, async (pair) => {
        const frames = ([0, 1] as const).map((end) => framesOf(pair, end, 90));
        const all = ([0, 1] as const).map((end) => receive(pair, end, frames[1 - end]!.length));
        const sent = ([0, 1] as const).map((end) => Promise.all(frames[end]!.map((frame) => send(pair, end, frame))));
        for (const end of [0, 1] as const) await compare(pair, end, frames[1 - end]!, await all[end]!.frames);
        await Promise.all(sent);
      }),
  },
  {
    name: "a payload may be overwritten as soon as onSent is called",
    run: (open) =>
      withPair(open, async (pair) => {
        const frames = framesOf(pair, 0, 24);
        const originals = frames.map((frame) => ({ ...frame, payload: frame.payload.slice() }));
        receive(pair, 0, 0);
        const { frames: came } = receive(pair, 1, frames.length);
        for (const frame of frames) void send(pair, 0, frame).then(() => frame.payload.fill(0xee));
        await compare(pair, 1, originals, await came);
      }),
  },
  {
    name: "frames that came before start() are delivered by it, in order",
    run: (open) =>
      withPair(open, async (pair) => {
        const frames = framesOf(pair, 0, 12).map((frame) => ({ ...frame }));
        receive(pair, 0, 0);
        for (const frame of frames) void send(pair, 0, frame);
        // Time for the frames to come: a task of the event loop, and a message the other way.
        for (let turn = 0; turn < 20; turn++) await new Promise<void>((resolve) => queueMicrotask(resolve));
        await compare(pair, 1, frames, await receive(pair, 1, frames.length).frames);
      }),
  },
  {
    name: "kept payloads stay as they came, read in any order",
    run: (open) =>
      withPair(open, async (pair) => {
        const frames = framesOf(pair, 0, 40);
        receive(pair, 0, 0);
        const { frames: came } = receive(pair, 1, frames.length, "keep");
        for (const frame of frames) void send(pair, 0, frame).then(() => frame.payload.fill(0xdd));
        const originals = framesOf(pair, 0, 40);
        const kept = await came;
        const order = frames.map((_, i) => i).reverse();
        for (const i of order) await compare(pair, 1, [originals[i]!], [kept[i]!]);
      }),
  },
  {
    name: "a close comes once, behind every frame that was sent before it",
    run: (open) =>
      withPair(open, async (pair) => {
        const frames = framesOf(pair, 0, 30);
        receive(pair, 0, 0);
        const receiving = receive(pair, 1, frames.length);
        for (const frame of frames) void send(pair, 0, frame);
        pair.leave();
        await compare(pair, 1, frames, await receiving.frames);
        await receiving.closed;
        pair.ends[1].close();
        pair.ends[0].close();
        await new Promise<void>((resolve) => queueMicrotask(resolve));
        holds(receiving.closes() === 1, `onClose was called ${receiving.closes()} times`);
      }),
  },
  {
    name: "what is sent into a link that has closed is dropped, and its sender is told that the bytes are its own",
    run: (open) =>
      withPair(open, async (pair) => {
        receive(pair, 0, 0);
        const { closed } = receive(pair, 1, 0);
        pair.leave();
        await closed;
        const frames = framesOf(pair, 1, 5);
        for (const frame of frames) void send(pair, 1, frame);
      }),
  },
];

async function withPair(open: () => Promise<LinkPair>, body: (pair: LinkPair) => Promise<void>): Promise<void> {
  const pair = await open();
  try {
    await body(pair);
  } finally {
    await pair.close();
  }
}

/** Frames of kinds data and control, some with a fingerprint, that `end` sends. The same for the same pair. */
function framesOf({ peers }: LinkPair, end: 0 | 1, count: number): Sent[] {
  const random = new SeededRandom(7, "frames", end);
  return Array.from({ length: count }, (_, index) => {
    const isData = index % 3 !== 1;
    const length = LENGTHS[index % LENGTHS.length]!;
    const payload = new Uint8Array(isData ? length : Math.min(length, CONTROL_BYTES));
    for (let i = 0; i < payload.length; i++) payload[i] = random.below(256);
    const header: Header = {
      ...{ kind: isData ? FrameKind.DATA : FrameKind.CONTROL, flags: 0, peer: peers[end], epoch: 0, slot: index },
      ...{ group: GROUP, sequence: index + 1, payloadBytes: payload.byteLength, request: 0 },
    };
    return { header, head: encodeHeader(header, isData && index % 2 === 0 ? FINGERPRINT : null), payload };
  });
}

/** Resolves when the bytes may change. */
function send({ ends }: LinkPair, end: 0 | 1, { head, payload }: Sent): Promise<void> {
  return new Promise((resolve) => ends[end].send(head, payload.byteLength > 0 ? payload : null, resolve));
}

/** Starts an end, and resolves with the first `count` frames; they are read as they come, or kept for later. */
function receive({ ends }: LinkPair, end: 0 | 1, count: number, how: "read" | "keep" = "read") {
  const came: Came[] = [];
  let closes = 0;
  let onAll: (frames: Came[]) => void = () => {};
  let onClosed: () => void = () => {};
  let onFailed: (error: Error) => void = () => {};
  const frames = new Promise<Came[]>((resolve, reject) => {
    onAll = resolve;
    onFailed = reject;
  });
  const closed = new Promise<void>((resolve) => {
    onClosed = resolve;
  });
  const receiver: LinkReceiver = {
    onFrame(header, payload) {
      const kept = how === "keep" ? payload.keep() : null;
      const bytes = kept ? null : read(payload);
      came.push({ head: header.slice(), bytes: () => bytes ?? read(kept!) });
      if (came.length === count) onAll(came);
    },
    onDamaged: (seen) => onFailed(new ConformanceError(`a frame is told to be damaged: ${seen}`)),
    onClose() {
      closes++;
      if (came.length < count) onFailed(new ConformanceError(`closed after ${came.length} of ${count} frames`));
      onClosed();
    },
  };
  frames.catch(() => {});
  if (count === 0) onAll(came);
  ends[end].start(receiver);
  return { frames, closed, closes: () => closes };
}

/** The bytes of a payload, whether they are there or come piece by piece. */
function read(payload: Payload): Promise<Uint8Array> {
  const into = new Uint8Array(payload.byteLength);
  if (payload.fill) {
    return new Promise((resolve) =>
      payload.fill?.({ into, cancelled: false, onCancelled: null, done: () => resolve(into) }),
    );
  }
  payload.copyTo(into);
  return Promise.resolve(into);
}

async function compare({ ranks }: LinkPair, end: 0 | 1, sent: readonly Sent[], came: readonly Came[]): Promise<void> {
  for (const [i, { header, head, payload }] of sent.entries()) {
    const frame = came[i];
    if (!frame) throw new ConformanceError(`frame ${i} of ${sent.length} did not come`);
    const expected = JSON.stringify({ ...header, flags: head[3], peer: ranks[1 - end] });
    const found = JSON.stringify(decodeHeader(frame.head));
    holds(found === expected, `header ${i}: expected ${expected}, got ${found}`);
    // What is behind the fingerprint belongs to the link.
    const behind = frame.head.subarray(HEADER_BYTES, head.byteLength);
    holds(isSame(behind, head.subarray(HEADER_BYTES)), `fingerprint ${i} differs`);
    const bytes = await frame.bytes();
    holds(isSame(bytes, payload), `payload ${i} of ${payload.byteLength} bytes differs`);
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i]);
}

function holds(condition: boolean, text: string): void {
  if (!condition) throw new ConformanceError(text);
}

/**
 * Reads of a TCP connection into one buffer that is used again, or right to where the bytes belong. A stream of Node's
 * allocates 64 KiB for each read and leaves them to the garbage collector; a buffer that stays in the processor's cache is
 * two to three times as fast, for short messages too (docs/notes/websocket.md).
 */
import { Socket as NetSocket, type SocketConstructorOpts } from "node:net";
import type { Duplex } from "node:stream";

/** Most bytes of one read into the buffer. */
const READ_BYTES = 64 * 1024;

/** On Windows a read begins long before it is over: each connection has its own buffer then, and nobody else's memory is lent. */
const READS_AHEAD = process.platform === "win32";

/** All connections use it: a read is over before the next begins. */
let common: Uint8Array | null = null;

function readBuffer(): Uint8Array {
  if (READS_AHEAD) return new Uint8Array(READ_BYTES);
  common ??= new Uint8Array(READ_BYTES);
  return common;
}

/** The parts of a socket that Node does not document. */
interface Innards {
  _handle: { useUserBuffer?(buffer: Uint8Array): void } | null;
}

/** Takes the bytes that are read. */
export interface Reader {
  /** `bytes` is valid during the call, or lies where `room` said. */
  onBytes(bytes: Uint8Array): void;
  /** Where the next read puts its bytes: `buffer`, a part of it, or memory that stays where it is until `reset`. */
  room(buffer: Uint8Array): Uint8Array;
}

/** A connection that was taken over. */
export interface ReadsInPlace {
  readonly net: NetSocket;
  /** Nothing more is put where `room` said last. */
  reset(): void;
}

/**
 * Takes a TCP connection over from `net`, which is destroyed without it. Somebody must have taken all bytes that `net`
 * has read.
 * @returns null, and has changed nothing, if `net` is encrypted, no TCP connection, or of another runtime than Node and Deno.
 */
export function readInPlace(net: Duplex, { onBytes, room }: Reader): ReadsInPlace | null {
  const innards = net as unknown as Innards;
  const handle = innards._handle;
  const isPlain = (net.constructor as unknown) === NetSocket;
  if (!isPlain || !handle?.useUserBuffer || net.readableLength > 0) return null;
  const buffer = readBuffer();
  /** The operating system fills it next. */
  let target = buffer;
  let handsOver = false;
  const options = {
    handle,
    onread: {
      buffer: () => {
        target = READS_AHEAD ? buffer : room(buffer);
        return target;
      },
      callback: (length: number) => {
        handsOver = true;
        onBytes(length === target.byteLength ? target : target.subarray(0, length));
        handsOver = false;
        return true;
      },
    },
  };
  const taken = new NetSocket(options as unknown as SocketConstructorOpts);
  innards._handle = null;
  net.destroy();
  return {
    net: taken,
    reset: () => {
      // After a call of `onBytes` room is asked for in any case.
      if (handsOver || target.buffer === buffer.buffer || taken.destroyed) return;
      target = buffer;
      handle.useUserBuffer?.(buffer);
    },
  };
}

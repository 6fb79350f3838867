/** Replies: each function makes a reader of one form of reply; it returns undefined until the reply has come whole. */
import { ProtocolError } from "../../errors.ts";
import type { ByteQueue } from "./byte-queue.ts";
import { MAX_STRINGS, MAX_VALUE_BYTES } from "./queries.ts";

/** Takes a reply from the bytes that have come. */
export type Reply<T> = (bytes: ByteQueue) => T | undefined;

export const byteReply = (): Reply<number> => (bytes) => (bytes.length < 1 ? undefined : bytes.takeByte());

export const u32Reply = (): Reply<number> => (bytes) => (bytes.length < 4 ? undefined : bytes.take(4).readUInt32LE());

export const integerReply = (): Reply<bigint> => (bytes) =>
  bytes.length < 8 ? undefined : bytes.take(8).readBigInt64LE();

/** A string, in memory of its own. */
export function stringReply(): Reply<Uint8Array> {
  let length: number | undefined;
  return (bytes) => {
    length ??= lengthFrom(bytes, MAX_VALUE_BYTES);
    return length === undefined || bytes.length < length ? undefined : new Uint8Array(bytes.take(length));
  };
}

/** `count` strings one after the other; without it the reply begins with the count. */
export function stringsReply(count?: number): Reply<Uint8Array[]> {
  const strings: Uint8Array[] = [];
  let next = stringReply();
  let wanted = count;
  return (bytes) => {
    wanted ??= lengthFrom(bytes, MAX_STRINGS);
    if (wanted === undefined) return undefined;
    while (strings.length < wanted) {
      const string = next(bytes);
      if (string === undefined) return undefined;
      strings.push(string);
      next = stringReply();
    }
    return strings;
  };
}

/** What queue_pop gives behind the number of values that the queue held: the value, or null if there was none. */
export function popReply(): Reply<Uint8Array | null> {
  let held: bigint | undefined;
  const count = integerReply();
  const value = stringReply();
  return (bytes) => {
    held ??= count(bytes);
    if (held === undefined) return undefined;
    return held === 0n ? null : value(bytes);
  };
}

function lengthFrom(bytes: ByteQueue, most: number): number | undefined {
  if (bytes.length < 8) return undefined;
  const length = bytes.takeUint64();
  if (length > most) throw new ProtocolError(`the server declares ${length}, more than the ${most} that are taken`);
  return length;
}

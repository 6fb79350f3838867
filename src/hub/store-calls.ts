/**
 * Store calls that a member makes over its link: { type: "call", id, op, args } → { type: "result", id, ok or error }.
 *
 * Calls run as they come. An answer waits while the member leaves others unread, and is made only then: until that it is no more
 * than a view of the store's own bytes, charged to the member all the same, for the store may have let go of them.
 */
import { StoreError, toWireError, type WebcclError } from "../errors.ts";
import { runStoreOp, STORE_OPS, type StoreOp, storeErrorOf } from "../store/calls.ts";
import type { LiveSpace } from "../store/live-space.ts";
import { SpaceStore } from "../store/space-store.ts";
import type { Account } from "../support/account.ts";
import { encodeControl } from "../wire/control.ts";
import { expectArray, expectInteger, expectOneOf, type Fields } from "../wire/schema.ts";

/** The hub, as the calls of a member need it. */
export interface CallerOwner {
  /** Charged with the answers that wait. */
  readonly account: Account;
  /** Charged with the calls that wait. */
  readonly lists: Account;
  /** Most bytes of a result. */
  readonly maxBytes: number;
  /** Does the member leave too much unread? */
  isFull(): boolean;
  /** Sends an answer. No part of it changes any more. */
  reply(payload: readonly Uint8Array[]): void;
}

/** The calls that may wait; of all others nothing is left when they have been made. */
const WAITING: ReadonlySet<StoreOp> = new Set(["get", "wait", "multiGet", "queuePop"]);
/** What a call costs beyond its message, and each of its keys. */
const CALL_BYTES = 1_024;
const KEY_BYTES = 64;
/** From so many bytes a value is sent from where it lies. */
const LENT_BYTES = 16_384;
/** Room for the frame's header, the map around a result, and the lengths of its values. */
const RESULT_OVERHEAD_BYTES = 65_536;

/** The calls of one member. */
export class StoreCalls {
  readonly #store: SpaceStore;
  readonly #owner: CallerOwner;
  /** Answers that wait, each of them a function that gives it. */
  #due: (() => void)[] = [];

  constructor(space: LiveSpace, owner: CallerOwner) {
    this.#store = new SpaceStore(space, { lends: true });
    this.#owner = owner;
  }

  /**
   * Runs one call and replies with its result, also when the store refuses it.
   * @throws ProtocolError if the message is no store call.
   */
  take(message: Fields, byteLength: number): void {
    const id = expectInteger(message, "id", 0, Number.MAX_SAFE_INTEGER);
    const op = expectOneOf(message, "op", STORE_OPS);
    const args = expectArray(message, "args");
    const keys = Array.isArray(args[0]) ? args[0].length : 1;
    const cost = WAITING.has(op) ? CALL_BYTES + byteLength + keys * KEY_BYTES : 0;
    this.#owner.lists.charge(cost);
    void runStoreOp(this.#store, op, args).then(
      (value) => {
        this.#owner.lists.release(cost);
        this.#answer(id, value ?? null);
      },
      (error: unknown) => {
        this.#owner.lists.release(cost);
        this.#fail(id, storeErrorOf(error));
      },
    );
  }

  /** The member has read enough for answers that wait. */
  goOn(): void {
    let given = 0;
    while (given < this.#due.length && !this.#owner.isFull()) this.#due[given++]!();
    if (given > 0) this.#due = this.#due.slice(given);
  }

  /** The member is gone. */
  close(): void {
    this.#due = [];
    void this.#store.close();
  }

  #answer(id: number, value: unknown): void {
    const { account, maxBytes, isFull, reply } = this.#owner;
    const byteLength = valueBytes(value);
    if (byteLength > maxBytes - RESULT_OVERHEAD_BYTES) {
      const text = `the value has ${byteLength} bytes, more than one message of this hub carries`;
      this.#fail(id, new StoreError(text));
    } else if (isFull()) {
      const cost = CALL_BYTES + byteLength;
      account.charge(cost);
      this.#due.push(() => {
        account.release(cost);
        reply(resultPayload(id, value));
      });
    } else reply(resultPayload(id, value));
  }

  #fail(id: number, error: WebcclError): void {
    this.#owner.reply([encodeControl({ type: "result", id, error: toWireError(error) })]);
  }
}

/**
 * The payload of an answer: the bytes that `encodeControl` makes of it. Long values stand in it where the store has them, because it
 * never changes one: what is not copied needs no memory, and no time in which nobody else is served.
 */
export function resultPayload(id: number, ok: unknown): readonly Uint8Array[] {
  const isList = Array.isArray(ok);
  const values: unknown[] = isList ? ok : [ok];
  const areLong =
    values.length > 0 && values.every((value) => value instanceof Uint8Array && value.length >= LENT_BYTES);
  if (!areLong) return [encodeControl({ type: "result", id, ok })];
  const lent = values as Uint8Array[];
  // It ends with the head of an empty list, which is one byte, or of no bytes, which is two.
  const empty = encodeControl({ type: "result", id, ok: isList ? [] : new Uint8Array(0) });
  const before = empty.subarray(0, isList ? -1 : -2);
  return [
    before,
    ...(isList ? [listHead(lent.length)] : []),
    ...lent.flatMap((value) => [bytesHead(value.length), value]),
  ];
}

/** How MessagePack begins a list of fewer than 65,536 values: a call names 10,000 keys at most. */
function listHead(length: number): Uint8Array {
  return length < 16 ? Uint8Array.of(0x90 + length) : Uint8Array.of(0xdc, length >> 8, length);
}

/** How MessagePack begins so many bytes, which are at least 256. */
function bytesHead(length: number): Uint8Array {
  const head = new DataView(new ArrayBuffer(length < 2 ** 16 ? 3 : 5));
  head.setUint8(0, length < 2 ** 16 ? 0xc5 : 0xc6);
  if (length < 2 ** 16) head.setUint16(1, length);
  else head.setUint32(1, length);
  return new Uint8Array(head.buffer);
}

function valueBytes(value: unknown): number {
  if (value instanceof Uint8Array) return value.byteLength;
  return Array.isArray(value) ? value.reduce((sum: number, item) => sum + valueBytes(item), 0) : 0;
}

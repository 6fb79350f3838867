/** KeyServer: what a TCPStore's server answers to each query. No sockets. */
import { ProtocolError } from "../../errors.ts";
import { toInt64 } from "../../store/counter.ts";
import type { LiveSpace } from "../../store/live-space.ts";
import type { Account } from "../../support/account.ts";
import { decodeUtf8 } from "../../support/utf8.ts";
import { Awake } from "./awake.ts";
import {
  encodeString,
  MAX_VALUE_BYTES,
  NOT_READY,
  Op,
  READY,
  STOP_WAITING,
  WAIT_CANCELED,
  writeLength,
} from "./queries.ts";
import { checkMagic, type Query } from "./query-reader.ts";

/** Most waits of one client that are not over. */
const MAX_WAITS = 1_024;
/** What a wait costs beyond the names of its keys, and each key. */
const WAIT_BYTES = 1_024;
const KEY_BYTES = 64;

/** How keys on the wire are named in the store behind. */
export interface KeyNames {
  nameOf(wireKey: string): string;
  /** The wire's name of a key of the store, or null if the wire has none for it. */
  wireKeyOf(name: string): string | null;
}

/** A store that is served by nobody else has the wire's names. */
const WIRE_NAMES: KeyNames = { nameOf: (wireKey) => wireKey, wireKeyOf: (name) => name };

/** A value up to this size is copied behind its length; a longer one goes out where it lies. */
const MOST_COPIED_BYTES = 4_096;

/** The names of a part of a store whose keys begin with `prefix`, such as a group's: "/key" on the wire is "prefix" + "key". */
export function namesUnder(prefix: string): KeyNames {
  // A key without a "/" is TCPStore's own, and no text of a caller's has a NUL there.
  const own = `${prefix}\0`;
  return {
    nameOf: (wireKey) => (wireKey.startsWith("/") ? prefix + wireKey.slice(1) : own + wireKey),
    wireKeyOf(name) {
      if (name.startsWith(own)) return name.slice(own.length);
      return name.startsWith(prefix) ? `/${name.slice(prefix.length)}` : null;
    },
  };
}

const STOP = Buffer.of(STOP_WAITING);
const CANCELED = Buffer.of(WAIT_CANCELED);
const IS_READY = Buffer.of(READY);
const IS_NOT_READY = Buffer.of(NOT_READY);
const NOTHING = new Uint8Array(0);

/** One store, for any number of clients. */
export class KeyServer {
  readonly space: LiveSpace;
  /** Of all that is kept for its clients. */
  readonly account: Account;
  readonly names: KeyNames;
  readonly awake: Awake = new Awake();

  constructor(space: LiveSpace, account: Account, names: KeyNames = WIRE_NAMES) {
    this.space = space;
    this.account = account;
    this.names = names;
  }

  /** The keys that the wire has names for. */
  keys(): string[] {
    const found: string[] = [];
    for (const name of this.space.contents.keys()) {
      const key = this.names.wireKeyOf(name);
      if (key !== null) found.push(key);
    }
    return found;
  }
}

/** One client of a server, whose replies go to `reply`. */
export class ServedClient {
  readonly #server: KeyServer;
  readonly #space: LiveSpace;
  readonly #reply: (bytes: Uint8Array) => void;
  /** The end of each wait that is not over, with what it costs. */
  readonly #waits = new Map<() => void, number>();
  #waitBytes = 0;

  constructor(server: KeyServer, reply: (bytes: Uint8Array) => void) {
    this.#server = server;
    this.#space = server.space;
    this.#reply = reply;
  }

  /** What its waits cost. */
  get waitBytes(): number {
    return this.#waitBytes;
  }

  /**
   * Does what a query asks and replies, at once or when a wait is over.
   * @throws ProtocolError or StoreError for a query that PyTorch's server answers by closing the connection.
   */
  answer(query: Query): void {
    const { op, strings, integer } = query;
    switch (op) {
      case Op.VALIDATE:
        checkMagic(integer);
        break;
      case Op.PING:
        this.#integer(integer, 4);
        break;
      case Op.CANCEL_WAIT:
        this.#cancel();
        break;
      case Op.NUM_KEYS:
        this.#integer(BigInt(this.#count()));
        break;
      case Op.LIST_KEYS:
        this.#list();
        break;
      case Op.MULTI_SET:
        this.#multiSet(strings);
        break;
      case Op.CHECK:
      case Op.WAIT:
      case Op.MULTI_GET:
        this.#ofKeys(op, strings.map(this.#nameOf));
        break;
      default:
        this.#ofKey(query);
    }
  }

  /** The client has gone. */
  close(): void {
    for (const end of this.#waits.keys()) end();
    this.#waits.clear();
    this.#waitBytes = 0;
  }

  readonly #nameOf = (key: Buffer): string => {
    const text = key.toString();
    if (text.includes("\ufffd") && !Buffer.from(text).equals(key)) throw new ProtocolError("a key is no UTF-8");
    return this.#server.names.nameOf(text);
  };

  /** A query whose first string is its key. */
  #ofKey({ op, strings, integer }: Query): void {
    const { contents } = this.#space;
    const [first, value = NOTHING, desired = NOTHING] = strings;
    const key = this.#nameOf(first!);
    switch (op) {
      case Op.SET:
        this.#space.set(key, value);
        break;
      case Op.APPEND:
        this.#append(key, value);
        break;
      case Op.QUEUE_PUSH:
        this.#space.push(key, value);
        break;
      case Op.COMPARE_SET:
        this.#string(this.#space.compareSet(key, value, desired));
        break;
      case Op.GET:
        this.#string(contents.get(key) ?? NOTHING);
        break;
      case Op.ADD:
        this.#integer(this.#space.add(key, integer));
        break;
      case Op.DELETE:
        this.#integer(this.#space.delete(key) ? 1n : 0n);
        break;
      case Op.QUEUE_LEN:
        this.#integer(BigInt(contents.queueLength(key)));
        break;
      case Op.QUEUE_POP:
        this.#pop(key);
        break;
      case Op.BARRIER:
        this.#barrier(key, integer);
    }
  }

  /** The reply begins with the number of values that the queue held. */
  #pop(key: string): void {
    this.#space.serve(key);
    this.#integer(BigInt(this.#space.contents.queueLength(key)));
    const value = this.#space.contents.pop(key);
    if (value) this.#string(value);
  }

  #ofKeys(op: Op, keys: readonly string[]): void {
    const { contents } = this.#space;
    if (op === Op.CHECK) this.#reply(contents.looker(keys)() === null ? IS_READY : IS_NOT_READY);
    else if (op === Op.WAIT) this.#wait(keys);
    else this.#multiGet(keys);
  }

  #multiGet(keys: readonly string[]): void {
    const { contents } = this.#space;
    const values = keys.map((key) => contents.get(key) ?? NOTHING);
    const bytes = values.reduce((sum, { length }) => sum + 8 + length, 0);
    if (bytes > MAX_VALUE_BYTES) throw new ProtocolError(`a reply of ${bytes} bytes is too long`);
    for (const value of values) this.#string(value);
  }

  #multiSet(strings: readonly Buffer[]): void {
    const pairs: [string, Buffer][] = [];
    for (let i = 0; i < strings.length; i += 2) pairs.push([this.#nameOf(strings[i]!), strings[i + 1]!]);
    this.#space.setAll(pairs);
  }

  #append(key: string, value: Uint8Array): void {
    const before = this.#space.contents.get(key)?.length ?? 0;
    if (before + value.length > MAX_VALUE_BYTES) throw new ProtocolError("a value would be too long");
    this.#space.append(key, value);
  }

  /** Waits until every key has a value or, as PyTorch's server does, a queue that holds one. */
  #wait(keys: readonly string[]): void {
    const { contents } = this.#space;
    const look = contents.looker(keys);
    const hasQueue = (key: string) => contents.queueLength(key) > 0;
    const lacking = () => {
      const missing = look();
      if (missing === null || !hasQueue(missing)) return missing;
      return keys.find((key) => !contents.has(key) && !hasQueue(key)) ?? null;
    };
    const names = keys.reduce((sum, key) => sum + KEY_BYTES + 2 * key.length, 0);
    this.#replyWhen(lacking, WAIT_BYTES + names);
  }

  /** The key counts who has come, and whoever comes when there are enough does not wait, as at PyTorch's server. */
  #barrier(key: string, members: bigint): void {
    const hasCome = () => (toInt64(decodeUtf8(this.#space.contents.get(key) ?? NOTHING)) ?? 0n) >= members;
    this.#space.add(key, 1n);
    this.#replyWhen(() => (hasCome() ? null : key), WAIT_BYTES);
  }

  /** Replies to a wait, which costs so many bytes, as soon as `look` lacks no key. */
  #replyWhen(look: () => string | null, bytes: number): void {
    if (look() === null) {
      this.#reply(STOP);
      return;
    }
    const end = this.#space.until(() => {
      const key = look();
      if (key === null) {
        this.#waits.delete(end);
        this.#waitBytes -= bytes;
        this.#reply(STOP);
      }
      return key;
    });
    if (this.#waits.size >= MAX_WAITS) {
      end();
      throw new ProtocolError(`more than ${MAX_WAITS} waits of one client`);
    }
    this.#waits.set(end, bytes);
    this.#waitBytes += bytes;
  }

  /** PyTorch's server says so to a client that waits for nothing, too: the wait's end and its cancel may have crossed. */
  #cancel(): void {
    this.close();
    this.#reply(CANCELED);
  }

  #count(): number {
    const { names, space } = this.#server;
    return names === WIRE_NAMES ? space.contents.size : this.#server.keys().length;
  }

  #list(): void {
    const keys = this.#server.keys();
    this.#integer(BigInt(keys.length));
    for (const key of keys) this.#string(Buffer.from(key));
  }

  #integer(value: bigint, byteLength: 4 | 8 = 8): void {
    const bytes = Buffer.allocUnsafe(byteLength);
    if (byteLength === 4) bytes.writeUInt32LE(Number(value));
    else bytes.writeBigInt64LE(value);
    this.#reply(bytes);
  }

  /** Values are never changed, so a long one needs no copy. */
  #string(value: Uint8Array): void {
    if (value.length <= MOST_COPIED_BYTES) {
      this.#reply(encodeString(value));
      return;
    }
    const length = Buffer.allocUnsafe(8);
    writeLength(length, value.length, 0);
    this.#reply(length);
    this.#reply(value);
  }
}

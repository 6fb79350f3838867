/**
 * FileStore: a store in a file that several processes of one machine share.
 *
 * The file is a log of records (records.ts), which this user alone may open. A write takes the lock (`path` + ".lock"), reads
 * what others have added, and appends one record. A reader needs no lock: it takes the records that are complete. A record that a
 * crash left incomplete is cut off by the next writer. The format is webccl's own and may change; it is not PyTorch's.
 */
import { closeSync, ftruncateSync, readSync, rmSync, type Stats, writeSync } from "node:fs";
import { StoreError, TimeoutError, UnsupportedError, WebcclError } from "../../errors.ts";
import type { QueuePopOptions } from "../../options.ts";
import { KeySpace, listKeys } from "../../store/key-space.ts";
import {
  type CounterValue,
  keysWithValues,
  ownBytes,
  popOptions,
  Store,
  type StoreValue,
  toBytes,
} from "../../store/store.ts";
import { storeWaitOf } from "../../support/timeouts.ts";
import { withFileLock } from "./file-lock.ts";
import { openPrivate, type PrivateFile } from "./private-file.ts";
import { CorruptFile, encodeRecord, Kind, MAGIC, mayBegin, readRecords } from "./records.ts";

const EMPTY = new Uint8Array(0);
/** Counts the users that have come to the store, and those that have closed it; no keys of the caller's. */
const OPENED_KEY = "\0opened";
const CLOSED_KEY = "\0closed";
const FIRST_POLL_MS = 1;
const LAST_POLL_MS = 20;

/** A store in the file at `path`, made when it is first written. */
export class FileStore extends Store {
  /** The file, as it was given. */
  readonly path: string;
  /** How many processes share the file, or -1 if unknown. */
  readonly worldSize: number;
  #space = new KeySpace();
  /** Which file was read, and up to which byte. */
  #file = "";
  #position = 0;
  /** This user is among those that were counted. */
  #opened = false;
  #closed = false;
  readonly #sleepers = new Set<() => void>();

  /**
   * With a known `worldSize`, the file is removed when at least so many users have come, and all that came have closed it.
   * Default: -1, unknown.
   * @throws TypeError if `path` is empty; RangeError if `worldSize` is neither -1 nor at least 1.
   */
  constructor(path: string, worldSize = -1) {
    super();
    if (typeof path !== "string" || path === "") throw new TypeError("FileStore: path must be a non-empty string");
    if (!Number.isInteger(worldSize) || (worldSize !== -1 && worldSize < 1)) {
      throw new RangeError(`FileStore: worldSize must be at least 1, or -1 if unknown, got ${worldSize}`);
    }
    this.path = path;
    this.worldSize = worldSize;
  }

  async set(key: string, value: StoreValue): Promise<void> {
    const own = ownBytes(value);
    await this.#write((append) => append(Kind.SET, key, own));
  }

  get(key: string): Promise<Uint8Array> {
    return this.#until(
      () => this.#space.get(key)?.slice(),
      this.timeoutMs,
      () => `get: the key "${key}" was not set within ${this.timeoutMs} ms`,
    );
  }

  async compareSet(key: string, expected: StoreValue, desired: StoreValue): Promise<Uint8Array> {
    const [before, wanted] = [ownBytes(expected), ownBytes(desired)];
    return this.#write((append) => {
      const { write, result } = this.#space.compare(key, before, wanted);
      if (write) append(Kind.SET, key, wanted);
      return result.slice();
    });
  }

  add<N extends number | bigint>(key: string, amount: N): Promise<CounterValue<N>> {
    return this.#write((append) => {
      const sum = this.#space.sum(key, amount);
      append(Kind.SET, key, toBytes(String(sum)));
      return sum;
    });
  }

  async check(keys: readonly string[]): Promise<boolean> {
    await this.#come();
    this.#sync();
    return keys.every((key) => this.#space.has(key));
  }

  async wait(keys: readonly string[], timeoutMs: number = this.timeoutMs): Promise<void> {
    await this.#until(
      () => this.#space.missing(keys).length === 0 || undefined,
      timeoutMs,
      () => `wait: after ${timeoutMs} ms these keys are missing: ${listKeys(this.#space.missing(keys))}`,
    );
  }

  /** @throws UnsupportedError always, as in c10d: use another store where keys must go. */
  async deleteKey(key: string): Promise<boolean> {
    throw new UnsupportedError(`deleteKey: a FileStore cannot remove "${key}"; HashStore and HubStore can`);
  }

  async numKeys(): Promise<number> {
    await this.#come();
    this.#sync();
    return this.#space.size - [OPENED_KEY, CLOSED_KEY].filter((key) => this.#space.has(key)).length;
  }

  override hasExtendedApi(): boolean {
    return true;
  }

  override async append(key: string, value: StoreValue): Promise<void> {
    const own = ownBytes(value);
    await this.#write((append) => append(Kind.APPEND, key, own));
  }

  override async multiGet(keys: readonly string[]): Promise<Uint8Array[]> {
    return this.#until(
      () => this.#space.getAll(keys),
      this.timeoutMs,
      () => `wait: after ${this.timeoutMs} ms these keys are missing: ${listKeys(this.#space.missing(keys))}`,
    );
  }

  override async multiSet(keys: readonly string[], values: readonly StoreValue[]): Promise<void> {
    const pairs = keysWithValues(keys, values).map(([key, value]) => [key, ownBytes(value)] as const);
    await this.#write((append) => {
      for (const [key, value] of pairs) append(Kind.SET, key, value);
    });
  }

  override async queuePush(key: string, value: StoreValue): Promise<void> {
    const own = ownBytes(value);
    await this.#write((append) => append(Kind.PUSH, key, own));
  }

  override async queuePop(key: string, options: QueuePopOptions = {}): Promise<Uint8Array> {
    const { block, timeoutMs } = popOptions(this, options);
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const value = await this.#write((append) => {
        if (this.#space.queueLength(key) === 0) return undefined;
        return append(Kind.POP, key, EMPTY);
      });
      if (value) return value;
      if (!block) throw new StoreError(`queuePop: the queue "${key}" is empty`);
      await this.#until(
        () => (this.#space.queueLength(key) > 0 ? true : undefined),
        Math.max(0, deadline - performance.now()),
        () => `queuePop: nothing was pushed to "${key}" within ${timeoutMs} ms`,
      );
    }
  }

  override async queueLen(key: string): Promise<number> {
    await this.#come();
    this.#sync();
    return this.#space.queueLength(key);
  }

  /** Ends this user's part: pending waits reject with StoreError. The last user may remove the file: see the constructor. */
  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.worldSize !== -1) {
      await this.#write((append) => {
        const closed = this.#space.sum(CLOSED_KEY, 1);
        const areAll = closed >= this.worldSize && closed === this.#space.sum(OPENED_KEY, 0);
        if (areAll) rmSync(this.path, { force: true });
        else append(Kind.SET, CLOSED_KEY, toBytes(String(closed)));
      });
    }
    this.#closed = true;
    for (const wake of this.#sleepers) wake();
  }

  /**
   * Runs `action` under the lock, with all earlier records applied. Records that it appends are written, then applied.
   */
  async #write<T>(
    action: (append: (kind: number, key: string, value: Uint8Array) => Uint8Array | undefined) => T,
  ): Promise<T> {
    this.#check();
    try {
      return await withFileLock(`${this.path}.lock`, this.timeoutMs, () => {
        this.#sync();
        this.#open();
        return action((kind, key, value) => this.#append(kind, key, value));
      });
    } catch (error) {
      if (error instanceof WebcclError || !(error instanceof Error) || !("code" in error)) throw error;
      throw new StoreError(`the FileStore at ${this.path} cannot be written: ${error.message}`, { cause: error });
    } finally {
      for (const wake of this.#sleepers) wake();
    }
  }

  /** Counts this user before it reads: the file that it reads is not removed while it uses it. */
  async #come(): Promise<void> {
    if (!this.#opened && this.worldSize !== -1) await this.#write(() => undefined);
  }

  /** Counts this user, once for each file that it has used. */
  #open(): void {
    if (this.#opened || this.worldSize === -1) return;
    this.#append(Kind.SET, OPENED_KEY, toBytes(String(this.#space.sum(OPENED_KEY, 1))));
    this.#opened = true;
  }

  #append(kind: number, key: string, value: Uint8Array): Uint8Array | undefined {
    const record = encodeRecord(kind, key, value);
    const { descriptor, stats } = openPrivate(this.path, "append")!;
    try {
      this.#file = identityOf(stats);
      // Bytes behind the last complete record were left by a crash.
      ftruncateSync(descriptor, this.#position);
      if (this.#position === 0) this.#position = writeAll(descriptor, MAGIC);
      this.#position += writeAll(descriptor, record);
    } finally {
      closeSync(descriptor);
    }
    return this.#apply(kind, key, value);
  }

  #check(): void {
    if (this.#closed) throw new StoreError(`the FileStore at ${this.path} is closed`);
  }

  /** Applies the complete records that have come since. */
  #sync(): void {
    this.#check();
    const file = openPrivate(this.path, "read");
    if (file === null) {
      this.#startAnew("");
      return;
    }
    try {
      this.#read(file);
    } catch (error) {
      if (!(error instanceof CorruptFile)) throw error;
      throw new StoreError(
        `${this.path} is no FileStore of this version of webccl, or has been changed: ${error.message}. Remove it, or choose ` +
          "another path",
        { cause: error },
      );
    } finally {
      closeSync(file.descriptor);
    }
  }

  #read({ descriptor, stats }: PrivateFile): void {
    const identity = identityOf(stats);
    if (identity !== this.#file || stats.size < this.#position) this.#startAnew(identity);
    if (this.#position === 0) {
      const begin = readAt(descriptor, 0, Math.min(stats.size, MAGIC.length));
      if (!mayBegin(begin)) throw new CorruptFile("it begins otherwise");
      if (begin.length < MAGIC.length) return;
      this.#position = MAGIC.length;
    }
    const bytes = readAt(descriptor, this.#position, stats.size - this.#position);
    this.#position += readRecords(bytes, this.#position, ({ kind, key, value }) => this.#apply(kind, key, value));
  }

  /** Another file has taken the place of the one that was read, or there is none. */
  #startAnew(identity: string): void {
    if (this.#position > 0) {
      this.#space = new KeySpace();
      this.#position = 0;
      this.#opened = false;
    }
    this.#file = identity;
  }

  #apply(kind: number, key: string, value: Uint8Array): Uint8Array | undefined {
    if (kind === Kind.SET) this.#space.set(key, value);
    else if (kind === Kind.APPEND) this.#space.append(key, value);
    else if (kind === Kind.PUSH) this.#space.push(key, value);
    else return this.#space.pop(key);
    return undefined;
  }

  /**
   * Resolves with the first value that `take` returns. Writes of this object are seen at once, those of others by
   * looking again.
   */
  async #until<T>(take: () => T | undefined, timeoutMs: number, timeoutText: () => string): Promise<T> {
    const deadline = performance.now() + storeWaitOf(timeoutMs);
    await this.#come();
    let pollMs = FIRST_POLL_MS;
    for (;;) {
      this.#sync();
      const value = take();
      if (value !== undefined) return value;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) throw new TimeoutError(timeoutText());
      await this.#sleep(Math.min(pollMs, leftMs));
      pollMs = Math.min(pollMs * 1.5, LAST_POLL_MS);
    }
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, delayMs);
      this.#sleepers.add(wake);
    });
  }
}

/** Tells a file from another one that has taken its path. */
function identityOf({ ino, birthtimeMs }: Stats): string {
  return `${ino} ${birthtimeMs}`;
}

/** The bytes from `position` on, at most `length`. */
function readAt(descriptor: number, position: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const read = readSync(descriptor, bytes, filled, length - filled, position + filled);
    if (read === 0) break;
    filled += read;
  }
  return bytes.subarray(0, filled);
}

/** Appends all of `bytes`, and says how many. */
function writeAll(descriptor: number, bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
  return bytes.length;
}

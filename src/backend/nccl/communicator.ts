/** A communicator that is made when it is first wanted, by all its ranks. */
import type { WebcclError } from "../../errors.ts";
import type { Store } from "../../store/store.ts";
import type { NcclCommunicator, NcclInitOptions, NcclLibrary } from "./library.ts";

/** The parts and settings of a communicator. */
export interface LazyCommunicatorOptions {
  library: NcclLibrary;
  /** How this rank's side is made. */
  init: Omit<NcclInitOptions, "signal">;
  /** The group's own key space, in which the unique id is handed on. */
  store: Store;
  /** Where in it: a name that no other communicator of the group has. */
  key: string;
  /** This rank of the communicator, and how many there are. */
  rank: number;
  size: number;
}

/** One rank's side of it. */
export class LazyCommunicator {
  readonly #options: LazyCommunicatorOptions;
  readonly #ended = new AbortController();
  #cause: WebcclError | null = null;
  #opening: Promise<NcclCommunicator> | null = null;
  /** Null until it is made. */
  current: NcclCommunicator | null = null;

  constructor(options: LazyCommunicatorOptions) {
    this.#options = options;
  }

  /** Fires when it has been ended. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Resolves once all its ranks have called this, in the order of the calls. */
  open(): Promise<NcclCommunicator> {
    this.#opening ??= this.#make();
    return this.#opening;
  }

  /** Ends it, or the attempt to make it. */
  die(cause: WebcclError): void {
    if (this.#cause) return;
    this.#cause = cause;
    this.#ended.abort(cause);
    this.current?.abort(cause.message);
  }

  async dispose(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    await this.current?.dispose();
  }

  /** Rank 0 makes the unique id and puts it into the store until all have joined. */
  async #make(): Promise<NcclCommunicator> {
    const { library, init, store, key, rank, size } = this.#options;
    const { signal } = this.#ended;
    signal.throwIfAborted();
    let id: Uint8Array;
    if (rank === 0) {
      id = await library.getUniqueId();
      await store.set(key, id);
    } else {
      id = await orAborted(store.get(key), signal);
    }
    const communicator = await library.initRank(size, id, rank, { ...init, signal });
    if (rank === 0) await store.deleteKey(key).catch(() => false);
    this.current = communicator;
    if (this.#cause) communicator.abort(this.#cause.message);
    return communicator;
  }
}

/** The same promise, unless the signal fires first. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

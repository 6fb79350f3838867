/** The page's side of `spawnRanks`: it starts the workers, keeps their store, and sees that each ends wholly. */
import { SPAWN_OPTIONS, type SpawnedRanks, type SpawnOptions } from "../bring-up/spawned-ranks.ts";
import { AbortedError, fromWireError, PeerLostError, UnsupportedError } from "../errors.ts";
import { createMemory } from "../executor/cpu/wasm-memory.ts";
import { MAX_THREADS, threadEnded } from "../link/threads/directory.ts";
import { isBellKey } from "../link/threads/links.ts";
import { checkOptions } from "../option-checks.ts";
import { SpaceStore } from "../store/space-store.ts";
import { servePageStore } from "./page-store.ts";
import type { Report, Start } from "./rank-worker.ts";
import { whyNoThreads } from "./why-no-threads.ts";

/** What the ranks of one call have in common. */
interface Crew {
  readonly id: string;
  readonly ranks: number;
  readonly moduleUrl: string;
  readonly options: SpawnOptions;
  /** Null where memory cannot be shared. */
  readonly memory: WebAssembly.Memory | null;
  /** Where the ranks meet; null if that is at a hub. */
  readonly store: SpaceStore | null;
  /** Rejects with a PeerLostError when a rank has failed. */
  readonly lost: Promise<never>;
  readonly onLost: (error: PeerLostError) => void;
}

const NOTHING_SHARED = { memory: null, shared: false } as const;
const NO_ROOM = "this page has too little address space for memory that workers share: close some of its other pages";

/** Starts the ranks: see `spawnRanks` in index.ts. */
export function startRanks(ranks: number, moduleUrl: string | URL, options: SpawnOptions): SpawnedRanks {
  checkOptions("spawnRanks", SPAWN_OPTIONS, options);
  if (!Number.isInteger(ranks) || ranks < 1 || ranks > MAX_THREADS) {
    throw new RangeError(`spawnRanks: ${ranks} ranks; 1 to ${MAX_THREADS} can be started`);
  }
  const { initMethod, worldSize = ranks } = options;
  const reason = whyNoThreads();
  const { memory, shared } = reason === null ? createMemory() : NOTHING_SHARED;
  if (!shared && initMethod === undefined) {
    throw new UnsupportedError(`${reason ?? NO_ROOM}, or pass initMethod, a hub's ws://host:port/group`);
  }
  if (worldSize < ranks || (worldSize > ranks && initMethod === undefined)) {
    throw new RangeError(`spawnRanks: worldSize ${worldSize} for ${ranks} ranks: others join at a hub, by initMethod`);
  }
  let onLost: Crew["onLost"] = () => {};
  const lost = new Promise<never>((_, reject) => {
    onLost = reject;
  });
  lost.catch(() => {});
  const crew: Crew = {
    ...{ lost, onLost },
    id: crypto.getRandomValues(new Uint32Array(4)).join("-"),
    ranks,
    moduleUrl: new URL(moduleUrl, globalThis.document?.baseURI ?? location.href).href,
    options,
    memory: shared ? memory : null,
    store: initMethod === undefined ? new SpaceStore() : null,
  };
  const started = Array.from({ length: ranks }, (_, index) => new Rank(crew, index));
  return {
    results: started.map(({ result }) => result),
    terminate: async () => {
      for (const rank of started) rank.end();
      await Promise.allSettled(started.map(({ result }) => result));
    },
  };
}

/** One rank, in a worker of its own. */
class Rank {
  /** What the rank's module posted last, once it has run; rejects with what ended the rank before. */
  readonly result: Promise<unknown>;
  readonly #crew: Crew;
  readonly #index: number;
  readonly #worker: Worker;
  readonly #calls = new MessageChannel();
  /** The worker holds this lock as long as it lives; null where a page has no locks. */
  readonly #lock: string | null;
  #holdsLock = false;
  #posted: unknown;
  #resolve: (value: unknown) => void = () => {};
  #reject: (error: Error) => void = () => {};
  /** Settles the result; null until it is known how the rank ends. */
  #settle: (() => void) | null = null;

  constructor(crew: Crew, index: number) {
    const { id, memory, moduleUrl, store } = crew;
    this.#crew = crew;
    this.#index = index;
    this.#lock = navigator.locks ? `webccl ${id} ${index}` : null;
    this.result = new Promise<unknown>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever looks at none of the results has not asked to be told.
    this.result.catch(() => {});
    const { port1, port2 } = this.#calls;
    if (store) servePageStore(store, port1, crew.lost);
    this.#worker = new Worker(new URL("./rank-worker.ts", import.meta.url), {
      type: "module",
      name: `webccl rank ${index}`,
    });
    this.#listen();
    const start: Start = {
      moduleUrl,
      environment: environmentOf(crew, index),
      job: memory && { id, memory, index, store: store ? port2 : null, meetings: 0 },
      lock: this.#lock,
    };
    this.#worker.postMessage(start, [port2]);
  }

  /** Ends the rank, if it has not ended by itself. */
  end(): void {
    this.#fail(new AbortedError(`rank ${this.#index} was terminated`, { rank: this.#index }));
  }

  #listen(): void {
    const worker = this.#worker;
    const rank = `rank ${this.#index}`;
    worker.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (isReport(data)) this.#onReport(data);
      else this.#posted = data;
    };
    worker.onerror = ({ message }) =>
      this.#fail(
        new Error(`${rank}: ${message || "its worker could not be loaded: does the page's policy allow it?"}`),
      );
    worker.onmessageerror = () => this.#fail(new Error(`${rank}: its worker could not take the page's memory`));
  }

  #onReport({ webccl }: Report): void {
    if (webccl === "done") this.#end(() => this.#resolve(this.#posted));
    else if (webccl !== "holds lock") {
      const { error } = webccl;
      this.#fail(error instanceof Error ? error : fromWireError(error));
    } else if (this.#lock !== null) {
      this.#holdsLock = true;
      void navigator.locks.request(this.#lock, () => this.#gone());
    }
  }

  #fail(error: Error): void {
    this.#end(() => this.#reject(error));
    const text = `rank ${this.#index} was lost while the ranks met: ${error.message}`;
    this.#crew.onLost(new PeerLostError(text, { peer: this.#index }));
  }

  /** The first to say how the rank ends. The lock is free when the worker is gone, however it went. */
  #end(how: () => void): void {
    if (this.#settle) return;
    this.#settle = how;
    this.#worker.terminate();
    if (!this.#holdsLock) this.#gone();
  }

  /** The worker is gone. */
  #gone(): void {
    const rank = this.#index;
    this.#settle ??= () =>
      this.#reject(new AbortedError(`rank ${rank}: its worker ended before its module did`, { rank }));
    if (this.#crew.memory) threadEnded(this.#crew.memory, rank, isBellKey);
    this.#calls.port1.close();
    this.#settle();
  }
}

function isReport(data: unknown): data is Report {
  return typeof data === "object" && data !== null && "webccl" in data;
}

/** The variables of env://. Where others join at the hub it gives the ranks their numbers. */
function environmentOf({ ranks, options: { initMethod, token, worldSize = ranks } }: Crew, index: number) {
  return {
    WORLD_SIZE: String(worldSize),
    LOCAL_RANK: String(index),
    LOCAL_WORLD_SIZE: String(ranks),
    ...(worldSize === ranks ? { RANK: String(index) } : {}),
    ...(initMethod === undefined ? {} : { WEBCCL_INIT_METHOD: initMethod }),
    ...(token === undefined ? {} : { WEBCCL_TOKEN: token }),
  };
}

/** The page's side of `spawnRanks`: it starts the workers, keeps their store, and sees that each ends wholly. */
import type { SpawnedRanks, SpawnOptions } from "../bring-up/spawned-ranks.ts";
import { AbortedError, fromWireError, PeerLostError, UnsupportedError } from "../errors.ts";
import { createMemory } from "../executor/cpu/wasm-memory.ts";
import { MAX_THREADS, threadEnded } from "../link/threads/directory.ts";
import { isBellKey } from "../link/threads/links.ts";
import { HashStore } from "../store/hash-store.ts";
import { servePageStore } from "./page-store.ts";
import type { Report, Start } from "./rank-worker.ts";

/** What the ranks of one call have in common. */
interface Crew {
  readonly id: string;
  readonly ranks: number;
  readonly moduleUrl: string;
  readonly options: SpawnOptions;
  /** Null where memory cannot be shared. */
  readonly memory: WebAssembly.Memory | null;
  /** Where the ranks meet; null if that is at a hub. */
  readonly store: HashStore | null;
  /** Rejects with a PeerLostError when a rank has failed. */
  readonly lost: Promise<never>;
  readonly onLost: (error: PeerLostError) => void;
}

/** Starts the ranks: see `spawnRanks` in index.ts. */
export function startRanks(ranks: number, moduleUrl: string | URL, options: SpawnOptions): SpawnedRanks {
  if (!Number.isInteger(ranks) || ranks < 1 || ranks > MAX_THREADS) {
    throw new RangeError(`spawnRanks: ${ranks} ranks; 1 to ${MAX_THREADS} can be started`);
  }
  const { initMethod, worldSize = ranks } = options;
  const { memory, shared } = createMemory();
  if (!shared && initMethod === undefined) {
    throw new UnsupportedError(
      "this page is not cross-origin isolated, so its workers cannot share memory: serve it with the headers " +
        "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp, " +
        "or pass initMethod, a hub's ws://host:port/group",
    );
  }
  if (worldSize < ranks || (worldSize > ranks && initMethod === undefined)) {
    throw new RangeError(`spawnRanks: worldSize ${worldSize} for ${ranks} ranks: others join at a hub, by initMethod`);
  }
  let onLost!: Crew["onLost"];
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
    store: initMethod === undefined ? new HashStore() : null,
  };
  const started = Array.from({ length: ranks }, (_, index) => startRank(crew, index));
  return {
    results: started.map(({ result }) => result),
    terminate: async () => {
      for (const { end } of started) end();
      await Promise.allSettled(started.map(({ result }) => result));
    },
  };
}

interface Started {
  readonly result: Promise<unknown>;
  /** Ends the rank, if it has not ended by itself. */
  end(): void;
}

function startRank(crew: Crew, index: number): Started {
  const { id, memory, moduleUrl } = crew;
  const worker = new Worker(new URL("./rank-worker.ts", import.meta.url), {
    type: "module",
    name: `webccl rank ${index}`,
  });
  const calls = new MessageChannel();
  if (crew.store) servePageStore(crew.store, calls.port1, crew.lost);

  let resolve!: (value: unknown) => void;
  let reject!: (error: Error) => void;
  const result = new Promise<unknown>((...settlers) => {
    [resolve, reject] = settlers;
  });
  // Whoever looks at none of the results has not asked to be told.
  result.catch(() => {});
  let settle: (() => void) | null = null;
  const lock = navigator.locks ? `webccl ${id} ${index}` : null;
  let holdsLock = false;
  let posted: unknown;
  const gone = () => {
    settle ??= () => reject(new AbortedError(`rank ${index}: its worker ended before its module did`, { rank: index }));
    if (memory) threadEnded(memory, index, isBellKey);
    calls.port1.close();
    settle();
  };
  /** The first to say how the rank ends. The lock is free when the worker is gone, however it went. */
  const end = (how: () => void) => {
    if (settle) return;
    settle = how;
    worker.terminate();
    if (!holdsLock) gone();
  };
  const fail = (error: Error) => {
    end(() => reject(error));
    crew.onLost(new PeerLostError(`rank ${index} was lost while the ranks met: ${error.message}`, { peer: index }));
  };

  worker.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (!isReport(data)) posted = data;
    else if (data.webccl === "done") end(() => resolve(posted));
    else if (data.webccl === "holds lock") {
      holdsLock = true;
      void navigator.locks.request(lock!, gone);
    } else {
      const { error } = data.webccl;
      fail(error instanceof Error ? error : fromWireError(error));
    }
  };
  worker.onerror = ({ message }) =>
    fail(new Error(`rank ${index}: ${message || "its worker could not be loaded: does the page's policy allow it?"}`));
  worker.onmessageerror = () => fail(new Error(`rank ${index}: its worker could not take the page's memory`));

  const start: Start = {
    moduleUrl,
    environment: environmentOf(crew, index),
    job: memory && { id, memory, index, store: crew.store ? calls.port2 : null, meetings: 0 },
    lock,
  };
  worker.postMessage(start, [calls.port2]);
  return {
    result,
    end: () => fail(new AbortedError(`rank ${index} was terminated`, { rank: index })),
  };
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

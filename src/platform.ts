/**
 * Platform: what differs between Node, Deno and a browser, and nothing else. Each runtime's index gives its own to
 * `init.ts`; no code asks which runtime it is in.
 */

import type { Socket } from "./link/link.ts";
import type { Logger } from "./options.ts";
import type { Runtime } from "./types.ts";
import type { Hello, Welcome } from "./wire/handshake.ts";

/** How the caller's user gives the settings that a bind beyond loopback needs, in words. */
export interface BindRemedies {
  readonly token: string;
  readonly tls: string;
  readonly insecure: string;
}

/** How a listener is opened. */
export interface ListenOptions {
  /** Interface to bind. Default: 127.0.0.1. Another one needs a token and TLS, or `insecure`. */
  host?: string;
  /** 0 picks a free one. Default: 0. */
  port?: number;
  tls?: { cert: string; key: string };
  /** Proof of this secret is asked of whoever connects. Without one, whoever connects is let in. */
  token?: string;
  /** Allows a bind beyond loopback without token and TLS. */
  insecure?: boolean;
  /** Named in the error of a bind that is not safe. Default: the options of `createHub`. */
  remedies?: BindRemedies;
  /** Is the process to end although the port is open? Default: false. */
  isQuiet?: boolean;
  /** Browser origins that are let in. Default: none. */
  origins?: readonly string[];
  /** Host header values that are let in beyond loopback names and `host`. */
  allowHosts?: readonly string[];
  /** Milliseconds without a sign of life after which a connection is closed; Infinity for never. Default: 60,000. */
  silenceMs?: number;
  logger?: Logger;
}

/** An open listener. */
export interface Listener {
  readonly host: string;
  readonly port: number;
  /** "ws://host:port" or "wss://host:port". */
  readonly url: string;
  /** Closes the port; sockets handed out stay open. */
  close(): Promise<void>;
}

/** The part of a group's store that a hub's port serves to clients of PyTorch's TCPStore. */
export interface SharedPart {
  readonly group: string;
  /** How the keys of that part begin. */
  readonly prefix: string;
}

/** A running hub, hosted by this process. */
export interface HubHandle {
  /** The address at which ranks reach it, `ws://` or `wss://`. */
  readonly url: string;
  /** The port that it listens on. */
  readonly port: number;
  /**
   * Resolves when every member of `group` has left, or after `timeoutMs`; 0 or Infinity for no timeout.
   * @throws RangeError if `timeoutMs` is below 0 or NaN.
   */
  drained(group: string, timeoutMs: number): Promise<void>;
  /** Closes the port and every connection. */
  close(): Promise<void>;
}

/** The job whose threads share memory, as one of them sees it. */
export interface ThreadJob {
  /** Equal for its threads alone. */
  readonly id: string;
  readonly memory: WebAssembly.Memory;
  /** Which thread this is, from 0. */
  readonly index: number;
  /** How many threads can run at once. */
  readonly cores: number;
  /** Resolves when the event loop has turned: when what waited in it has been handled. */
  turn(): Promise<void>;
  /** A store for one meeting of the job's threads, where they have one of their own; null where they meet as processes do. */
  readonly openStore: (() => Promise<import("./store/store.ts").Store>) | null;
}

/** An open file that other processes have open too. Positions and lengths are in bytes. */
export interface MemoryFile {
  /** Fills `target` from `position` on. */
  read(target: Uint8Array, position: number): void;
  write(bytes: Uint8Array, position: number): void;
  /** Makes the file `byteLength` zeros long, with memory for all of them, or throws and says what is missing. */
  reserve(byteLength: number): void;
  /** Once closed it stays so. */
  close(): void;
}

/** Where such files can be made. What fails throws an Error that says why. */
export interface MemoryFiles {
  /** Makes an empty file that only this user may open, under a name nobody can guess. */
  create(): { path: string; file: MemoryFile };
  /** Opens another process's file for reading; refuses one of another user. */
  open(path: string): MemoryFile;
  /** Takes the name away, if it is there; the file stays for those who have it open. */
  unlink(path: string): void;
  readonly waits: Waits;
}

/** How a process waits for others of its host without a promise. */
export interface Waits {
  /** How many processes can run at once. */
  readonly cores: number;
  /** Calls back when the promises that are settled now have been handled, before the event loop turns. */
  soon(callback: () => void): void;
  /** Calls back when the event loop has turned. */
  later(callback: () => void): void;
  /** Stops this thread for about `ms` milliseconds, so that another can have its core. */
  nap(ms: number): void;
}

/** Memory that processes of this host have in common, open in this one. Positions and lengths are in bytes. */
export interface CommonMemory {
  /** Sets memory aside for a part of it, or throws and says what is missing. A part that nobody has reserved is not to be touched. */
  reserve(position: number, byteLength: number): void;
  /**
   * Puts all of it in the place of that part of `memory` which begins at `address`. What lay there is lost, and no memory
   * may begin to be used there before.
   */
  map(memory: WebAssembly.Memory, address: number): void;
  /** Puts zeros of this process's own in the place of a part of it. */
  unmap(position: number, byteLength: number): void;
  /** Stops this thread until `wake` is called for the word at `position`, or `ms` milliseconds pass; not at all if the word is not `seen`. */
  wait(position: number, seen: number, ms: number): void;
  /** Wakes the threads of all processes that wait for the word at `position`. */
  wake(position: number): void;
  /** Nothing more can be reserved. It stays where it is mapped. Once closed it stays so. */
  close(): void;
}

/** Where processes can have memory in common. What fails throws an Error that says why. */
export interface MappedMemory {
  /** Through which package or module the C library is called, such as "koffi 3.3.4". */
  readonly ffi: string;
  readonly waits: Waits;
  /**
   * Makes memory of `byteLength` bytes, of which only the first page is reserved. The path is where other processes of this
   * user can open it while it is open here; it begins with the mark, a random number in hexadecimal digits.
   */
  create(byteLength: number): { path: string; mark: string; memory: CommonMemory };
  /** Opens another process's; refuses another user's, one whose length could change, one that is not `byteLength` long, and one with another mark. */
  open(path: string, mark: string, byteLength: number): CommonMemory;
}

/** Where the tabs of one browser find each other, as one of them sees it. */
export interface PortExchange {
  /** Equal for the tabs that can give each other ports. */
  readonly room: string;
  /** This tab's number among them. */
  readonly seat: number;
  /** Set once by the owner, before any tab knows this seat: called with each port that the tab at `seat` gives to this one. */
  onPort: (seat: number, port: MessagePort) => void;
  /** Gives `port` to the tab at `seat`. */
  give(seat: number, port: MessagePort): void;
  /** Leaves the seat. Ports that were given stay open. */
  close(): void;
}

/** A job on this rank, for those who look on from outside. */
export interface TracedJob {
  /** The name of the group of all its ranks. */
  readonly name: string;
  readonly rank: number;
  readonly logger: Logger;
  /** The flight recorder's dump, with the options of `group.dumpTrace`, to be written as JSON. */
  dump(options: object): object;
  /** Calls `listener` when a group of the job dies, before its calls reject. */
  onDeath(listener: () => void): void;
}

/** One runtime. */
export interface Platform {
  readonly runtime: Runtime;
  /** Version text for `info()`, such as "node 20.20.2". */
  readonly version: string;
  /** An environment variable, or undefined. */
  env(name: string): string | undefined;
  /** Equal for two processes exactly if they can share files and loopback; empty where that cannot be known. */
  readonly hostId: string;
  /** Names this process among all of its machine and others; empty where that cannot be told. */
  readonly processId: string;
  /** Does the process with this id live? Unknown if it is on another machine, or has none. */
  processState(processId: string): "alive" | "gone" | "unknown";
  /** The job that this thread was started for, or null. */
  threadJob(): ThreadJob | null;
  /**
   * Where this host's processes can share files in memory.
   * @throws UnsupportedError that says what is missing.
   */
  memoryFiles(): MemoryFiles;
  /**
   * Where this host's processes can have memory in common. Null where there are no processes, as in a page.
   * @throws UnsupportedError that says what is missing.
   */
  readonly mappedMemory: (() => Promise<MappedMemory>) | null;
  /** Null where there are no tabs. Rejects with an UnsupportedError that says why this one cannot meet others. */
  readonly openPortExchange: (() => Promise<PortExchange>) | null;
  /**
   * The class of peer connections, by which data channels are made; undefined where a page or worker has none. Null where nobody
   * makes any. Rejects with an UnsupportedError that says what is missing.
   */
  readonly loadPeerConnection: (() => Promise<typeof RTCPeerConnection | undefined>) | null;
  /** Can this runtime accept connections? If not, `listen` and `startHub` throw UnsupportedError. */
  readonly canListen: boolean;
  /** Opens a WebSocket, at whose ends each side proves the token to the other. */
  connect(url: string, hello: Hello, options: ConnectOptions): Promise<Connected>;
  /**
   * Listens for direct links; `accept` gets each one once its proof is checked, and may throw AdmissionError, whose
   * message the other side is told. `accept` sets the socket's `onMessage` and `onClose`, and must not send before it
   * returns: the welcome goes first. The listener does not keep the process running.
   */
  listen(options: ListenOptions, accept: (hello: Hello, socket: Socket) => void): Promise<Listener>;
  /**
   * Calls `listener` whenever the program has nothing left to do and would end, until the function that it returns is
   * called; what `listener` begins keeps it running. Null where programs do not end by themselves, as pages do not.
   */
  readonly onProgramEnd: ((listener: () => void) => () => void) | null;
  /**
   * Starts a hub in this process. `hostRank` tells members which rank dies with it. A rank's hub does not keep the process
   * running. Without token and TLS its port serves `tcpStore`, too.
   */
  startHub(options: ListenOptions & { hostRank?: number; tcpStore?: SharedPart }): Promise<HubHandle>;
  /**
   * Where GPU adapters come from, and what to do where there is none.
   * @throws NoAdapterError if this runtime has no WebGPU.
   */
  openGpu(): Promise<{ gpu: GPU; hint: string }>;
  /** WebGPU is built in, so that "auto" may look for an adapter; elsewhere it must be asked for. */
  readonly hasBuiltInGpu: boolean;
  /**
   * The package that binds NCCL; its libraries are opened later. Null where no CUDA device can be reached.
   * @throws UnsupportedError if it is not installed.
   */
  readonly loadNccl: (() => Promise<import("./backend/nccl/library.ts").NcclLibrary>) | null;
  /**
   * Leaves the traces of a job in a folder, until the function that it resolves to is called; it rejects for nothing. Null where
   * there are no files.
   */
  readonly traceInto: ((folder: string, job: TracedJob) => Promise<() => Promise<void>>) | null;
  /** A store in a file, for `file://`. The file is removed when at least `worldSize` users have come, and all have closed it. */
  openFileStore(path: string, worldSize?: number): Promise<import("./store/store.ts").Store>;
  /** A store in the Redis server at `url`, for `redis://`. */
  openRedisStore(url: string, timeoutMs: number): Promise<import("./store/store.ts").Store>;
}

/** A connection that the other side has let in. */
export interface Connected {
  readonly socket: Socket;
  readonly welcome: Welcome;
  /** The ticket by which this rank may come again, if it came by one. */
  readonly resume: string | undefined;
}

/** How a connection is made. */
export interface ConnectOptions {
  token?: string | undefined;
  /** Is shown instead of the token. */
  ticket?: string | undefined;
  /** Milliseconds for connecting and proving; a refused port is tried again until then. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  /** Told before each further try: how many have failed, and the last one's error. */
  onRetry?: (tries: number, error: Error) => void;
  /**
   * Milliseconds without a sign of life after which the connection is closed. Default: never. A page cannot tell: its browser
   * answers pings, and has none of its own.
   */
  silenceMs?: number;
}

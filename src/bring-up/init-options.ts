/** What `initProcessGroup` takes, and what it makes of it with the environment's help. */

import type { Transfer } from "../algorithm/context.ts";
import type { BackendContext, OwnBackend } from "../backend/backend.ts";
import { type BackendChoice, checkBackend, type NcclOptions, ncclOptionsOf } from "../backend/choice.ts";
import type { NcclLibrary } from "../backend/nccl/library.ts";
import { UnsupportedError } from "../errors.ts";
import type { HostExecutor } from "../executor/executor.ts";
import type { ReadbackTimes } from "../executor/webgpu/create-executor.ts";
import type { MemoryKnobs } from "../link/memory/links.ts";
import { consoleLogger, debugLevelIn, levelOfEnvironment, levelSetOr } from "../logger.ts";
import { checkOptions, type OptionNames } from "../option-checks.ts";
import { DEFAULT_PEER_TIMEOUT_MS, DEFAULT_TIMEOUT_MS, type Logger } from "../options.ts";
import type { Platform } from "../platform.ts";
import type { Store } from "../store/store.ts";
import { timeLimitOf } from "../support/timeouts.ts";
import type { GpuDeviceLike } from "../types.ts";
import { checkGroupName, MAX_WORLD_SIZE } from "../wire/handshake.ts";

/** Where a rank accepts connections. */
export interface ListenOptions {
  /** Interface of the direct links to bind. Default: 127.0.0.1. Another one needs a token and `tls`, or `insecure`. */
  host?: string;
  /** Default: a free one. */
  port?: number;
  /**
   * The address at which ranks of other hosts reach this one: a host name or address, with a port or without. Default:
   * `host` and its port; needed if `host` is 0.0.0.0 or ::.
   */
  advertise?: string;
  /** Certificate and key in PEM, for the hub too that rank 0 hosts: addresses are then wss://. */
  tls?: TlsOptions;
  /** Allows a bind beyond loopback, the hub's too that rank 0 hosts, without token and TLS. Default: false. */
  insecure?: boolean;
}

/** Certificate and key in PEM. */
export interface TlsOptions {
  /** The certificate, in PEM. */
  cert: string;
  /** Its private key, in PEM. */
  key: string;
}

/** A STUN or TURN server. */
export interface IceServer {
  /** Such as "stun:stun.example:3478" or "turns:turn.example:5349?transport=tcp"; one or several of one server. */
  urls: string | readonly string[];
  /** Of a TURN server, as its operator gave it. Default: none. */
  username?: string;
  /** Of a TURN server, as its operator gave it. Default: none. */
  credential?: string;
}

/** Options of `initProcessGroup`. */
export interface InitOptions {
  /**
   * Where the ranks meet. Default: the environment's WEBCCL_INIT_METHOD, else "env://".
   * - `env://`: RANK, WORLD_SIZE, MASTER_ADDR (127.0.0.1) and MASTER_PORT (29500); rank 0 hosts the hub there
   * - `tcp://host:port`: rank 0 hosts the hub there
   * - `ws://host:port/group`, `wss://…`: a hub that is already running; behind a proxy `wss://host/path/group`, where the hub is
   *   at `wss://host/path/`: the group is what follows the last slash
   * - `file:///path`: a file that all ranks see
   * - `redis://host:port`, `rediss://…`: a Redis server, by the package `redis`
   * - `memory://name`: ranks that are tasks of this thread
   */
  initMethod?: string;
  /** A store the ranks share, instead of `initMethod`. */
  store?: Store;
  /** This rank. Default: RANK; may be left out except with `env://` and `tcp://`, whose rank 0 hosts the hub: the next free one. */
  rank?: number;
  /** Number of ranks. Default: WORLD_SIZE. */
  worldSize?: number;
  /**
   * Joins a group that runs, of the same `initMethod` or `store` and `groupName`: this rank waits until its ranks call `admit`, and
   * becomes the last of them. It takes no `rank` and no `worldSize`, and does not look at RANK and WORLD_SIZE. Default: true if
   * WEBCCL_JOIN is 1, as in a rank that `webccl run --max-restarts` started again.
   */
  join?: boolean;
  /**
   * "webgpu" opens a GPU for GPUBuffers, "cpu" none, a function makes a backend of your own. "nccl" runs on NVIDIA's NCCL,
   * one CUDA device for each rank. Default: "auto", which is nccl if every rank can; it opens a GPU for GPUBuffers if
   * `device` is given, or if WebGPU is built into the runtime (browsers, Deno) and has an adapter.
   */
  backend?: BackendChoice;
  /** A GPUDevice to share: buffers on it are used in place. Default: one of webccl's own, where `backend` wants one. */
  device?: GpuDeviceLike;
  /** How NCCL's communicators are made. */
  ncclOptions?: NcclOptions;
  /**
   * "auto": memory for memory://, shared-memory between threads that `webccl run --threads` started, mapped-memory between
   * processes of one host that can all call the C library, else shared-file where there is a tmpfs, message-port between tabs
   * of one browser and origin, else websocket between ranks that can listen and reach each other, else webrtc between pages where
   * a data channel is measured to be faster than the hub, else hub. "webrtc": data channels to all ranks that can make them, pages
   * and others that say the same, whatever is measured; docs/webrtc.md says when there is none.
   */
  transport?:
    | "auto"
    | "memory"
    | "shared-memory"
    | "mapped-memory"
    | "shared-file"
    | "message-port"
    | "websocket"
    | "webrtc"
    | "hub";
  /**
   * STUN and TURN servers by which data channels find ways out of this rank's network. Default: none, and nothing is asked:
   * channels use the addresses of this machine alone.
   */
  iceServers?: readonly IceServer[];
  /** Runs this algorithm for every call. Default: WEBCCL_ALGO, else the one `select.ts` picks. */
  algorithm?: string;
  /** Results that depend on inputs and rank order alone: the left fold in rank order. Default: false. */
  deterministic?: boolean;
  /** Where this rank accepts the direct links of others. Default: a free port of 127.0.0.1. */
  listen?: ListenOptions;
  /**
   * "on": frames of every WebSocket have checksums, and one that came otherwise than it was sent ends the group with an
   * IntegrityError. "off": none have, between ranks that both say so. Default: on, except between two ranks of one host that
   * are linked directly, and over wss://, which has checks of its own. docs/protocol.md says which bytes are covered.
   */
  integrity?: "on" | "off";
  /** Milliseconds for bring-up, and for each call that names none; 0 or Infinity for no timeout. Default: 300,000. */
  timeoutMs?: number;
  /** Milliseconds a silent rank stays a member; 0 or Infinity for no timeout. Default: 60,000. */
  peerTimeoutMs?: number;
  /** Default: what follows the last slash in a hub's URL, else "default". */
  groupName?: string;
  /** Secret that all ranks and the hub share: each proves it to the other. Default: WEBCCL_TOKEN. */
  token?: string;
  /** Lets this rank into one group of a hub, once, without the token: a text that `mintTicket` of `webccl/hub` made. */
  ticket?: string;
  /** Ends the bring-up, in whichever phase it is: this rank rejects with AbortedError, and the others are told. */
  signal?: AbortSignal;
  /** Hears of what happens; each line begins with the rank. Default: the console's error stream, as much as WEBCCL_DEBUG or `setDebugLevel` says. */
  logger?: Logger;
}

/** Settings that are not part of the public surface: `webccl/testing` and the benchmarks use them. */
export interface InternalOptions {
  /** Most bytes of one message. Rank 0's is used by all. */
  segmentBytes?: number;
  segmentsInFlight?: number;
  /** Hears of each step of each message this rank sends. */
  onTransfer?: (transfer: Transfer) => void;
  /** Hears of each readback from the GPU, with the times of the kernels before it. */
  onReadback?: (times: ReadbackTimes) => void;
  memory?: MemoryKnobs;
  /** "packed" keeps the GPU to integer arithmetic for f16. */
  f16?: "auto" | "packed";
  /** The NCCL package, instead of the installed one. */
  loadNccl?: () => Promise<NcclLibrary>;
  /** False: the cpu executor's plain loops. */
  wasm?: boolean;
  /** The cpu executor, instead of one of this rank's own. */
  executor?: HostExecutor;
}

/** Whether a rank wants checksums. */
export type IntegrityWish = "auto" | "on" | "off";

/** Options with every default filled in. */
export interface Settings {
  readonly method: URL;
  readonly store: Store | undefined;
  readonly rank: number | null;
  /** 0 for a rank that joins. */
  readonly worldSize: number;
  readonly join: boolean;
  readonly makeBackend: ((context: BackendContext) => OwnBackend) | undefined;
  readonly backend: "auto" | "webgpu" | "cpu" | "nccl";
  readonly ncclOptions: NonNullable<InitOptions["ncclOptions"]>;
  readonly device: GpuDeviceLike | undefined;
  readonly transport: NonNullable<InitOptions["transport"]>;
  readonly iceServers: readonly IceServer[] | undefined;
  readonly algorithm: string | undefined;
  readonly deterministic: boolean;
  readonly listen: NonNullable<InitOptions["listen"]>;
  readonly integrity: IntegrityWish;
  readonly timeoutMs: number;
  readonly peerTimeoutMs: number;
  readonly groupName: string;
  readonly token: string | undefined;
  readonly ticket: string | undefined;
  readonly signal: AbortSignal | undefined;
  readonly logger: Logger;
  /** Are calls watched now, and their stacks kept? */
  readonly isDetailed: () => boolean;
  readonly internal: InternalOptions;
}

const TLS_OPTIONS: OptionNames<TlsOptions> = { cert: true, key: true };
const LISTEN_OPTIONS: OptionNames<ListenOptions> = {
  ...{ host: true, port: true, advertise: true, tls: true, insecure: true },
};
const INIT_OPTIONS: OptionNames<InitOptions & InternalOptions> = {
  ...{ initMethod: true, store: true, rank: true, worldSize: true, backend: true, device: true, ncclOptions: true },
  ...{
    join: true,
    transport: true,
    iceServers: true,
    algorithm: true,
    deterministic: true,
    listen: true,
    timeoutMs: true,
    peerTimeoutMs: true,
  },
  ...{ integrity: true, groupName: true, token: true, ticket: true, signal: true, logger: true },
  ...{ segmentBytes: true, segmentsInFlight: true, onTransfer: true, onReadback: true, memory: true, f16: true },
  ...{ loadNccl: true, wasm: true, executor: true },
};

/** @throws TypeError that names an option which there is none of. */
function checkNames(options: InitOptions & InternalOptions): void {
  checkOptions("initProcessGroup", INIT_OPTIONS, options);
  const { listen } = options;
  if (listen !== undefined) checkOptions("initProcessGroup: listen", LISTEN_OPTIONS, listen);
  if (listen?.tls !== undefined) checkOptions("initProcessGroup: listen.tls", TLS_OPTIONS, listen.tls);
}

const SCHEMES = ["env:", "tcp:", "ws:", "wss:", "file:", "redis:", "rediss:", "memory:"];
const INTEGRITY = ["on", "off"];
const TRANSPORTS = [
  "auto",
  "memory",
  "shared-memory",
  "mapped-memory",
  "shared-file",
  "message-port",
  "websocket",
  "webrtc",
  "hub",
];

/**
 * Fills in defaults from the environment and checks everything that can be checked alone. What the caller does to its
 * objects afterwards changes nothing.
 * @throws RangeError or TypeError naming the option or the variable.
 */
export function resolveSettings(options: InitOptions & InternalOptions, platform: Platform): Settings {
  checkNames(options);
  const method = parseMethod(options.initMethod ?? platform.env("WEBCCL_INIT_METHOD") ?? "env://");
  const { join = platform.env("WEBCCL_JOIN") === "1" } = options;
  const needsRank = !join && options.store === undefined && ["env:", "tcp:"].includes(method.protocol);
  const worldSize = join ? 0 : resolveWorldSize(options.worldSize, method, platform);
  const rank = join ? null : (options.rank ?? wholeVariable(platform, "RANK"));
  if (rank === null && needsRank) throw missing("rank", "RANK", `this rank's number, 0 to ${worldSize - 1}`);
  if (rank !== null && (!Number.isInteger(rank) || rank < 0 || rank >= worldSize)) {
    throw new RangeError(`rank is ${rank}, and worldSize ${worldSize} allows 0 to ${worldSize - 1}`);
  }
  const { backend = "auto", transport = "auto", listen, ncclOptions } = options;
  checkBackend(backend);
  const nccl = ncclOptionsOf("initProcessGroup", ncclOptions);
  if (backend === "nccl" && options.deterministic) {
    throw new UnsupportedError(
      'deterministic: true is not for backend "nccl", whose order of additions is its own: use "cpu" or "webgpu"',
    );
  }
  const levelNow = () => debugLevelIn(platform.env);
  // An environment is slow to read, and calls ask.
  const level = levelOfEnvironment(platform.env);
  checkChoice("transport", transport, TRANSPORTS);
  if ((transport === "memory") !== (method.protocol === "memory:") && transport !== "auto") {
    throw new RangeError(
      `transport "${transport}" does not go with ${method.protocol}//: memory is for memory:// alone`,
    );
  }
  if (options.integrity !== undefined) checkChoice("integrity", options.integrity, INTEGRITY);
  const inUrl = method.protocol.startsWith("ws") ? placeAtHub(method).name : "";
  const groupName = options.groupName ?? (inUrl || "default");
  checkGroupName(groupName, options.groupName === undefined ? "the group's name in initMethod" : "groupName");
  return {
    method,
    store: options.store,
    rank,
    worldSize,
    join,
    makeBackend: typeof backend === "function" ? backend : undefined,
    backend: typeof backend === "function" ? "auto" : backend,
    ncclOptions: nccl,
    device: options.device,
    transport,
    iceServers: options.iceServers,
    algorithm: options.algorithm ?? platform.env("WEBCCL_ALGO"),
    deterministic: options.deterministic ?? false,
    listen: { ...listen, ...(listen?.tls && { tls: { ...listen.tls } }) },
    integrity: options.integrity ?? "auto",
    timeoutMs: timeLimitOf(options.timeoutMs ?? DEFAULT_TIMEOUT_MS, "initProcessGroup: timeoutMs"),
    peerTimeoutMs: timeLimitOf(options.peerTimeoutMs ?? DEFAULT_PEER_TIMEOUT_MS, "initProcessGroup: peerTimeoutMs"),
    groupName,
    token: options.token ?? platform.env("WEBCCL_TOKEN"),
    ticket: options.ticket,
    signal: options.signal,
    logger: options.logger ?? consoleLogger(levelNow),
    isDetailed: () => levelSetOr(level) === "DETAIL",
    internal: { ...options },
  };
}

function resolveWorldSize(given: number | undefined, method: URL, platform: Platform): number {
  const worldSize = given ?? wholeVariable(platform, "WORLD_SIZE");
  if (worldSize === null && method.protocol === "env:" && !platform.canListen) {
    throw new RangeError(
      'a page has no environment variables: pass worldSize, and as initMethod a URL that "webccl hub" prints, "ws://host:port/group"',
    );
  }
  if (worldSize === null) throw missing("worldSize", "WORLD_SIZE", "the number of ranks");
  if (!Number.isInteger(worldSize) || worldSize < 1) {
    throw new RangeError(`worldSize is ${worldSize}: a group has at least one rank`);
  }
  if (worldSize > MAX_WORLD_SIZE) {
    throw new RangeError(`worldSize is ${worldSize}: a group has at most ${MAX_WORLD_SIZE} ranks`);
  }
  return worldSize;
}

function checkChoice(name: string, value: unknown, choices: readonly unknown[]): void {
  if (choices.includes(value)) return;
  throw new RangeError(`${name} is ${JSON.stringify(value)}: use one of ${choices.join(", ")}`);
}

/**
 * The path that a file:// URL names.
 * @throws RangeError if it is not well-formed.
 */
export function filePath(method: URL): string {
  return decoded(method.pathname, `initMethod is "${method.href}"`);
}

/**
 * The hub and the name that a URL tells, such as `wss://host/path/name`: what is behind the last slash is the name, "" if
 * nothing is; the hub is at all that comes before, `wss://host/path/`.
 * @throws RangeError if the name is not well-formed.
 */
export function placeAtHub(
  { protocol, host, pathname, href }: URL,
  option = "initMethod",
): { hub: string; name: string } {
  const at = pathname.lastIndexOf("/") + 1;
  const name = decoded(pathname.slice(at), `${option} is "${href}"`);
  return { hub: `${protocol}//${host}${at > 1 ? pathname.slice(0, at) : ""}`, name };
}

/** Text in which %XX stand for bytes, decoded. `where` is for the error. */
function decoded(text: string, where: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new RangeError(`${where}: a % in it must be written %25, and other bytes as %XX of UTF-8`, { cause });
  }
}

function parseMethod(text: string): URL {
  if (!URL.canParse(text) || !SCHEMES.includes(new URL(text).protocol)) {
    throw new RangeError(
      `initMethod is "${text}": use env://, tcp://host:port, ws://host:port/group, file:///path, redis://host:port or memory://name`,
    );
  }
  const method = new URL(text);
  if (method.protocol === "file:" && method.hostname !== "") {
    throw new RangeError(
      `initMethod is "${text}", in which ${method.hostname} is a host: a path on this one has three slashes, ` +
        `"file:///${method.hostname}${method.pathname}"`,
    );
  }
  return method;
}

/** The whole number that an environment variable holds, or null. */
export function wholeVariable(platform: Platform, name: string): number | null {
  const text = platform.env(name);
  if (text === undefined || text === "") return null;
  if (!/^\d+$/.test(text))
    throw new RangeError(`the environment variable ${name} is "${text}": a whole number is needed`);
  return Number(text);
}

function missing(option: string, variable: string, meaning: string): RangeError {
  return new RangeError(
    `${variable} is not set: it is ${meaning}. Start the ranks with "webccl run", set it, or pass ${option} to initProcessGroup`,
  );
}

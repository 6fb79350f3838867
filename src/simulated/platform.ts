/** A process of a simulated world as a {@link Platform}: its clock, network and randomness are those of one seed. */
import { NoAdapterError, UnsupportedError } from "../errors.ts";
import { aborted, connect, NotThere } from "../link/websocket/connect.ts";
import { NodeSocket } from "../node/socket.ts";
import type { ConnectOptions, Platform } from "../platform.ts";
import { startTimer } from "../support/clock.ts";
import { startSimulatedHub } from "./hub.ts";
import { listen } from "./listen.ts";
import type { SimulatedProcess } from "./simulated-process.ts";
import type { World } from "./world.ts";

/** Most bytes of a message. */
const MAX_MESSAGE_BYTES = 16 * 2 ** 20;
const NOTHING = new Uint8Array(0);

/** `canListen` is false for what stands for a tab. */
export function simulatedPlatform(world: World, process: SimulatedProcess, canListen: boolean): Platform {
  const missing = (text: string) => new UnsupportedError(`a simulated process has no ${text}`);
  return {
    runtime: "node",
    version: "simulated",
    env: () => undefined,
    hostId: process.host,
    processId: process.name,
    processState: (name) => {
      if (!world.isOneMachine) return "unknown";
      return world.process(name).ended ? "gone" : "alive";
    },
    threadJob: () => null,
    memoryFiles: () => {
      throw missing("files in memory");
    },
    canListen,
    connect: (url, hello, options) =>
      // A tab's browser does not say whether the hub gives signs of life.
      connect((address, opening) => open(world, process, address, opening), url, hello, {
        ...options,
        ...(canListen ? {} : { silenceMs: Number.POSITIVE_INFINITY }),
      }),
    listen: async (options, accept) =>
      listen(world, process, options, (hello, socket) => {
        accept(hello, socket);
        const { rank, worldSize, checksums } = hello;
        return { rank: rank ?? 0, worldSize, epoch: 0, hostRank: null, checksums };
      }),
    onProgramEnd: null,
    startHub: async (options) => startSimulatedHub(world, process, options),
    openGpu: () => Promise.reject(new NoAdapterError("a simulated process has no GPU")),
    hasBuiltInGpu: false,
    loadNccl: null,
    openFileStore: () => Promise.reject(missing("files")),
    openRedisStore: () => Promise.reject(missing("Redis")),
    mappedMemory: null,
    openPortExchange: null,
    loadPeerConnection: null,
    traceInto: null,
  };
}

/** Opens a WebSocket, as node/websocket-client.ts does; there is no HTTP before it. */
function open(
  { network }: World,
  process: SimulatedProcess,
  url: string,
  { timeoutMs, signal, silenceMs = Number.POSITIVE_INFINITY }: ConnectOptions,
): Promise<NodeSocket> {
  return new Promise((resolve, reject) => {
    let isOver = false;
    const end = () => {
      isOver = true;
      timer.cancel();
      signal?.removeEventListener("abort", onAbort);
    };
    const fail = (error: Error) => {
      end();
      reject(error);
    };
    const onAbort = () => fail(aborted(url, signal));
    const timer = startTimer(timeoutMs, () => fail(new NotThere("Opening handshake has timed out")));
    if (signal?.aborted) {
      onAbort();
      return;
    }
    signal?.addEventListener("abort", onAbort, { once: true });
    const { hostname, port } = new URL(url);
    network.connect(process, hostname, Number(port), (connection) => {
      if (isOver) connection?.destroy();
      else if (!connection) fail(refused(`connect ECONNREFUSED ${hostname}:${port}`));
      else {
        end();
        const socket = new NodeSocket(connection, NOTHING, { side: "client", maxMessageBytes: MAX_MESSAGE_BYTES });
        if (silenceMs < Number.POSITIVE_INFINITY) socket.watch(silenceMs);
        resolve(socket);
      }
    });
  });
}

function refused(text: string): NotThere {
  return new NotThere(text, { cause: Object.assign(new Error(text), { code: "ECONNREFUSED" }) });
}

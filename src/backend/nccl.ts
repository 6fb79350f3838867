/**
 * The nccl backend: what NCCL can do runs on a communicator of this group, everything else on the host path, which is the
 * direct backend.
 *
 * Work is put on the communicator's thread at once, and the call's fingerprint goes round on the control link beside it.
 * NCCL itself notices neither ranks that call different things nor a lost peer: it waits. So a mismatch, a lost rank, a
 * timeout or an abort ends the communicator, and the group is dead with that cause.
 */
import { AbortedError, type WebcclError } from "../errors.ts";
import { describeCudaTensor, isCudaTensor } from "../executor/cuda-tensor.ts";
import { LANE_ARRAY } from "../executor/host-span.ts";
import type { Store } from "../store/store.ts";
import type { Channel } from "../transport/channel.ts";
import type { ChannelExchange } from "../transport/exchange.ts";
import { bytesPerElement, type CudaTensor, type Tensor } from "../types.ts";
import { type Backend, type Call, type Request, tensorsOf } from "./backend.ts";
import type { NcclCommunicator, NcclInitOptions, NcclLibrary } from "./nccl-library.ts";
import { type NcclPlan, type NcclRequest, planNccl, runsOnNccl } from "./nccl-plan.ts";
import { DevicePool, StagedCall } from "./nccl-staging.ts";

/** How long the mesh has to name a lost rank when NCCL found an error first, in milliseconds. */
const NAMING_MS = 300;
/** How long a failed call waits for the communicator to let go of its tensors, in milliseconds. */
const LETTING_GO_MS = 2_000;

/** What an nccl backend is made with. */
export interface NcclBackendOptions {
  library: NcclLibrary;
  /** MAJOR * 10000 + MINOR * 100 + PATCH. */
  version: number;
  /** How this rank's communicator is made. */
  init: Omit<NcclInitOptions, "signal">;
  channel: Channel;
  /** The group's own key space, in which the unique id is handed on. */
  store: Store;
  segmentBytes: number;
  /** The backend of everything that NCCL cannot do, on the same channel. */
  direct: Backend;
}

/** Runs collectives of one group on NCCL. */
export class NcclBackend implements Backend {
  readonly name = "nccl";
  readonly #options: NcclBackendOptions;
  readonly #pool: DevicePool;
  readonly #ended = new AbortController();
  #cause: WebcclError | null = null;
  #opening: Promise<NcclCommunicator> | null = null;
  #communicator: NcclCommunicator | null = null;
  /** The end of what calls do before they are launched, so that they are launched in order; null if none does anything. */
  #turn: Promise<void> | null = null;

  constructor(options: NcclBackendOptions) {
    this.#options = options;
    this.#pool = new DevicePool(options.library, options.init.device);
  }

  run(request: Request, call: Call): Promise<number | undefined> {
    const { channel, direct, segmentBytes, version } = this.#options;
    if (runsOnNccl(request, version) && call.algorithm === undefined) {
      const plan = planNccl(request as NcclRequest, { rank: channel.rank, size: channel.size, segmentBytes });
      return this.#inTurn(null, () => this.#collective(plan, call));
    }
    if (!tensorsOf(request).some(isCudaTensor)) return this.#inTurn(null, async () => direct.run(request, call));
    const twin = new HostTwin(request);
    return this.#inTurn(twin.fill(), async () => {
      const source = await direct.run(twin.request, call);
      await twin.bringBack();
      return source;
    });
  }

  stragglers(sequence: number): Promise<number[]> {
    return this.#options.direct.stragglers(sequence);
  }

  withdraw(sequence: number, reason: WebcclError): boolean {
    return this.#options.direct.withdraw(sequence, reason);
  }

  abort(cause: WebcclError): void {
    this.#options.direct.abort(cause);
  }

  /** The group is dead: ends the communicator, or the attempt to make one. */
  die(cause: WebcclError): void {
    if (this.#cause) return;
    this.#cause = cause;
    this.#ended.abort(cause);
    this.#communicator?.abort(cause.message);
  }

  async dispose(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    await this.#communicator?.dispose();
    this.#pool.dispose();
    await this.#options.direct.dispose();
  }

  /** Calls `launch` after `before`, and after the launch of every earlier call; at once if there is nothing to wait for. */
  #inTurn<T>(before: Promise<void> | null, launch: () => Promise<T>): Promise<T> {
    if (!before && !this.#turn) return launch();
    const ready = Promise.all([this.#turn, before]);
    const turn = ready.then(
      () => undefined,
      () => undefined,
    );
    this.#turn = turn;
    const launched = ready.then(launch);
    void turn.then(() => {
      if (this.#turn === turn) this.#turn = null;
    });
    return launched;
  }

  async #collective(plan: NcclPlan, call: Call): Promise<undefined> {
    const { channel } = this.#options;
    const exchange = channel.open(call.sequence, plan.fingerprint);
    const agreed = Promise.all([channel.agree(exchange), this.#compareLengths(exchange, plan)]);
    // It may fail while the communicator is still being made, before anyone awaits it.
    agreed.catch(() => undefined);
    let running: Promise<void> = Promise.resolve();
    try {
      const communicator = this.#communicator ?? (await this.#open());
      call.overwritten = plan.writes;
      const staged = new StagedCall(communicator, this.#pool);
      plan.run(staged);
      running = staged.end();
      await Promise.all([running, agreed]);
    } catch (error) {
      throw await this.#failed(exchange, error, running);
    } finally {
      channel.close(exchange);
    }
  }

  /** NCCL waits for ever where two ranks differ in the length of what they exchange, so they tell each other. */
  async #compareLengths(exchange: ChannelExchange, { pairs }: NcclPlan): Promise<void> {
    if (!pairs) return;
    const { channel } = this.#options;
    await Promise.all([
      ...pairs.sent.map((bytes, peer) => (bytes === null ? undefined : tellLength(exchange, peer, bytes))),
      ...pairs.received.map(async (expected, peer) => {
        if (expected === null) return;
        const sent = await hearLength(exchange, peer);
        if (sent === expected) return;
        channel.onLengthMismatch(exchange, peer, sent, expected);
        // The verdict fails every receive that waits; this one waits for nothing else.
        await exchange.recv(peer, new Uint8Array(0), 1);
      }),
    ]);
  }

  #open(): Promise<NcclCommunicator> {
    this.#opening ??= this.#make();
    return this.#opening;
  }

  /** Rank 0 makes the unique id and puts it into the store until all have joined. */
  async #make(): Promise<NcclCommunicator> {
    const { library, init, channel, store } = this.#options;
    const { signal } = this.#ended;
    signal.throwIfAborted();
    let id: Uint8Array;
    if (channel.rank === 0) {
      id = await library.getUniqueId();
      await store.set("nccl-unique-id", id);
    } else {
      id = await orAborted(store.get("nccl-unique-id"), signal);
    }
    const communicator = await library.initRank(channel.size, id, channel.rank, { ...init, signal });
    if (channel.rank === 0) await store.deleteKey("nccl-unique-id").catch(() => false);
    this.#communicator = communicator;
    if (this.#cause) communicator.abort(this.#cause.message);
    return communicator;
  }

  /** What the call rejects with. Any failure kills the group, since the communicator cannot go on. */
  async #failed(exchange: ChannelExchange, error: unknown, running: Promise<void>): Promise<unknown> {
    const { channel } = this.#options;
    if (!exchange.error && !channel.dead) await orAborted(pause(NAMING_MS), this.#ended.signal).catch(() => undefined);
    const text = error instanceof Error ? error.message : String(error);
    const cause =
      exchange.error ??
      channel.dead ??
      new AbortedError(`group "${channel.name}": rank ${channel.rank} failed: ${text}`, {
        group: channel.name,
        cause: error,
      });
    channel.abort(cause);
    // The communicator's thread may still be copying: the tensors are the caller's again only afterwards.
    await Promise.race([running.catch(() => undefined), pause(LETTING_GO_MS)]);
    return cause;
  }
}

/** A request on CUDA memory, as the same on host memory. */
class HostTwin {
  readonly request: Request;
  readonly #copies: { tensor: CudaTensor; host: Uint8Array<ArrayBuffer>; written: boolean }[] = [];

  constructor(request: Request) {
    const twin = (tensor: Tensor, written: boolean): Tensor => {
      if (!isCudaTensor(tensor)) return tensor;
      const { dtype, count } = describeCudaTensor(tensor);
      const bytes = new ArrayBuffer(count * bytesPerElement(dtype));
      const host = { data: new LANE_ARRAY[dtype](bytes, 0, count), dtype };
      this.#copies.push({ tensor, host: new Uint8Array(bytes), written });
      return host;
    };
    const fields = Object.entries(request).map(([field, value]): [string, unknown] => {
      const written =
        field === "output" || field === "outputs" || (field === "tensor" && request.collective !== "send");
      if (field === "tensor" || field === "input" || field === "output") return [field, twin(value, written)];
      if (field !== "inputs" && field !== "outputs") return [field, value];
      return [field, value && (value as Tensor[]).map((tensor) => twin(tensor, written))];
    });
    this.request = Object.fromEntries(fields) as Request;
  }

  async fill(): Promise<void> {
    await Promise.all(
      this.#copies.map(({ tensor, host }) => host.length > 0 && tensor.cuda.copyTo(host, tensor.byteOffset)),
    );
  }

  async bringBack(): Promise<void> {
    const written = this.#copies.filter(({ host, written }) => written && host.length > 0);
    await Promise.all(written.map(({ tensor, host }) => tensor.cuda.copyFrom(host, tensor.byteOffset)));
  }
}

/** A length is told in eight bytes, on the first slot of an exchange that has no other messages. */
async function tellLength(exchange: ChannelExchange, peer: number, byteLength: number): Promise<void> {
  await exchange.send(peer, new Uint8Array(Float64Array.of(byteLength).buffer), 0);
}

async function hearLength(exchange: ChannelExchange, peer: number): Promise<number> {
  const length = new Float64Array(1);
  await exchange.recv(peer, new Uint8Array(length.buffer), 0);
  return length[0]!;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
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

export { NCCL_NOTES } from "./nccl-plan.ts";

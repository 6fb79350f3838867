/**
 * The nccl backend: what NCCL can do runs on a communicator of this group, everything else on the host path, which is the
 * direct backend.
 *
 * Work is put on the communicator's thread at once, and the call's fingerprint goes round on the control link beside it.
 * NCCL itself notices neither ranks that call different things nor a lost peer: it waits. So a mismatch, a lost rank, a
 * timeout or an abort ends the communicator, and the group is dead with that cause.
 */
import { UnsupportedError, type WebcclError } from "../../errors.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { ChannelExchange } from "../../messaging/exchange.ts";
import { type Request, tensorsOf } from "../../request.ts";
import type { Store } from "../../store/store.ts";
import type { Collective } from "../../types.ts";
import type { Backend, BackendTraffic, Call, SatOut } from "../backend.ts";
import { fingerprintOfCall } from "../direct/call-facts.ts";
import { LazyCommunicator } from "./communicator.ts";
import { ncclFailure } from "./failure.ts";
import { HostTwinBackend } from "./host-twin.ts";
import type { NcclAbilities, NcclInitOptions, NcclLibrary } from "./library.ts";
import { isCudaMessage, NcclMessages } from "./messages.ts";
import { type NcclPlan, planNccl, runsOnNccl } from "./plan.ts";
import { DevicePool, StagedCall } from "./staging.ts";

/** The parts and settings of an nccl backend. */
export interface NcclBackendOptions {
  library: NcclLibrary;
  abilities: NcclAbilities;
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
  readonly #host: HostTwinBackend;
  readonly #pool: DevicePool;
  readonly #communicator: LazyCommunicator;
  readonly #messages: NcclMessages;

  constructor(options: NcclBackendOptions) {
    const { library, init, store, channel, direct } = options;
    this.#options = options;
    this.#host = new HostTwinBackend(direct);
    this.#pool = new DevicePool(library, init.device);
    const communicator = (key: string, rank: number, size: number) =>
      new LazyCommunicator({ library, init, store, key, rank, size });
    this.#communicator = communicator("nccl-unique-id", channel.rank, channel.size);
    this.#messages = new NcclMessages(channel, communicator);
  }

  run(request: Request, call: Call): Promise<number | undefined> {
    const { channel, segmentBytes, abilities } = this.#options;
    if ("accumulate" in request && request.accumulate && tensorsOf(request).some(({ memory }) => memory === "cuda")) {
      throw new UnsupportedError(
        'accumulate: "f32" of tensors in CUDA memory: NCCL rounds as it does; use a host array',
      );
    }
    if (call.algorithm === undefined) {
      if (runsOnNccl(request, abilities)) {
        const plan = fingerprintOfCall(
          planNccl(request, { rank: channel.rank, size: channel.size, segmentBytes }),
          call,
        );
        return this.#host.inTurn(call, () => this.#collective(plan, call));
      }
      if (isCudaMessage(request)) return this.#host.inTurn(call, () => this.#messages.run(request, call));
    }
    return this.#host.run(request, call);
  }

  sitOut(sequence: number, collective: Collective, reason: Error, request: Request): SatOut {
    return this.#host.sitOut(sequence, collective, reason, request);
  }

  stragglers(sequence: number): Promise<number[]> {
    return this.#host.stragglers(sequence);
  }

  waitingFor(sequence: number): readonly number[] {
    return this.#host.waitingFor(sequence);
  }

  get traffic(): BackendTraffic | undefined {
    return this.#host.traffic;
  }

  withdraw(sequence: number, reason: WebcclError): boolean {
    return this.#host.withdraw(sequence, reason);
  }

  abort(cause: WebcclError): void {
    this.#host.abort(cause);
  }

  /** The group is dead: ends every communicator, or the attempt to make it. */
  die(cause: WebcclError): void {
    this.#communicator.die(cause);
    this.#messages.die(cause);
  }

  async dispose(): Promise<void> {
    await this.#communicator.dispose();
    await this.#messages.dispose();
    this.#pool.dispose();
    await this.#host.dispose();
  }

  async #collective(plan: NcclPlan, call: Call): Promise<undefined> {
    const { channel } = this.#options;
    const exchange = channel.open(call.sequence, plan.fingerprint);
    const agreed = Promise.all([channel.agree(exchange), this.#compareLengths(exchange, plan)]);
    // It may fail while the communicator is still being made, before anyone awaits it.
    agreed.catch(() => undefined);
    let running: Promise<void> = Promise.resolve();
    try {
      const communicator = this.#communicator.current ?? (await this.#communicator.open());
      call.overwritten = plan.writes;
      const staged = new StagedCall(communicator, this.#pool);
      plan.run(staged);
      running = staged.end();
      await Promise.all([running, agreed]);
    } catch (error) {
      throw await ncclFailure(channel, exchange, error, running);
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

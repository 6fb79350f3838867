/**
 * NCCL within a cluster: all-reduce of a group of which some ranks are on NCCL and the others reach them through a hub, such
 * as GPU servers and browser tabs. It is the two-level algorithm (algorithm/hub/all-reduce.ts), and to the hub and the other
 * ranks the same; but within this cluster NCCL folds a segment into its delegate's and spreads the result.
 *
 * A communicator does one thing after the other, so all its ranks must ask for the same in the same order: the calls take
 * turns, and within a call the steps have a fixed order, in which `segmentsInFlight` segments are folded before the first
 * comes back from the hub.
 */

import type { Context } from "../../algorithm/context.ts";
import { elementsPerSegment, segmentRange } from "../../algorithm/toolkit/partition.ts";
import type { WebcclError } from "../../errors.ts";
import type { Lease, Span } from "../../executor/executor.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { ReduceOp } from "../../reduce-op.ts";
import type { Store } from "../../store/store.ts";
import { Lane } from "../../support/in-order.ts";
import { textOf } from "../../support/thrown.ts";
import type { ClusterCall, ClusterReduction } from "../direct/direct.ts";
import type { Plan } from "../direct/planning.ts";
import { LazyCommunicator } from "./communicator.ts";
import { ncclFailure } from "./failure.ts";
import {
  isNcclType,
  type NcclAbilities,
  type NcclCommunicator,
  type NcclInitOptions,
  type NcclLibrary,
  type NcclOp,
} from "./library.ts";
import { DevicePool, type OnDevice } from "./staging.ts";

/** The parts and settings of a cluster. */
export interface NcclClusterOptions {
  library: NcclLibrary;
  abilities: NcclAbilities;
  init: Omit<NcclInitOptions, "signal">;
  channel: Channel;
  store: Store;
  /** The ranks of the group that are in it, in ascending order; this one is. */
  ranks: readonly number[];
}

/** One rank's side of a cluster on NCCL. */
export class NcclCluster implements ClusterReduction {
  readonly #abilities: NcclAbilities;
  readonly #channel: Channel;
  readonly #ranks: readonly number[];
  readonly #communicator: LazyCommunicator;
  readonly #pool: DevicePool;
  readonly #lane = new Lane();

  constructor({ library, abilities, init, channel, store, ranks }: NcclClusterOptions) {
    const [rank, size] = [ranks.indexOf(channel.rank), ranks.length];
    const key = `nccl-unique-id/cluster ${ranks[0]}`;
    this.#abilities = abilities;
    this.#channel = channel;
    this.#ranks = ranks;
    this.#communicator = new LazyCommunicator({ library, init, store, key, rank, size });
    this.#pool = new DevicePool(library, init.device);
  }

  enter({ needs, op, spans }: Plan): ClusterCall | null {
    const [tensor] = spans;
    if (needs !== "hub and clusters" || !op || !tensor || !foldedBy(op)) return null;
    if (!isNcclType(tensor.dtype, this.#abilities)) return null;
    const entered = this.#lane.enter() ?? Promise.resolve();
    return {
      run: async (context) => {
        await entered;
        await this.#allReduce(context, tensor, op);
      },
      failed: (exchange, error) => ncclFailure(this.#channel, exchange, error, Promise.resolve()),
      leave: () => void entered.then(() => this.#lane.leave()),
    };
  }

  die(cause: WebcclError): void {
    this.#communicator.die(cause);
  }

  async dispose(): Promise<void> {
    await this.#communicator.dispose();
    this.#pool.dispose();
  }

  async #allReduce(context: Context, tensor: Span, op: ReduceOp): Promise<void> {
    if (tensor.count === 0) return;
    const { executor, size, segmentBytes, segmentsInFlight } = context;
    const communicator = await this.#communicator.open();
    executor.prepare(op, tensor, size);
    const perSegment = elementsPerSegment(segmentBytes, tensor.dtype);
    const total = Math.ceil(tensor.count / perSegment);
    const segments: Segment[] = [];
    try {
      for (let next = 0; next < total + segmentsInFlight; next++) {
        if (next < total) {
          const { start, count } = segmentRange(tensor.count, next, perSegment);
          const span = executor.slice(tensor, start, count);
          const delegate = next % this.#ranks.length;
          const steps = new Steps(communicator, this.#pool, span, delegate);
          segments.push(await begin(context, steps, op, next, this.#ranks[delegate] === context.rank));
        }
        if (next >= segmentsInFlight) await end(context, segments[next - segmentsInFlight]!);
      }
      await Promise.all(segments.map(({ spread }) => spread));
      for (const { steps } of segments) executor.finish(op, steps.span, size);
    } catch (error) {
      // What was asked for may wait for ranks that do not come any more, and the tensor is the caller's again afterwards.
      communicator.abort(textOf(error));
      await Promise.allSettled(segments.flatMap(({ folded, spread }) => [folded, spread]));
      throw error;
    }
  }
}

/** A segment on its way. */
interface Segment {
  readonly steps: Steps;
  /** The delegate's, to be the fold of all; null at other ranks. */
  readonly result: Lease | null;
  readonly folded: Promise<void>;
  /** The hub has folded it. */
  readonly combined: Promise<void>;
  spread: Promise<void> | null;
}

/** Folds segment `slot` within the cluster, then at the hub. Only what comes before the first fold is waited for. */
async function begin(
  context: Context,
  steps: Steps,
  op: ReduceOp,
  slot: number,
  isDelegate: boolean,
): Promise<Segment> {
  const { executor, hub } = context;
  const input = await executor.read(steps.span);
  const result = isDelegate ? executor.receive(steps.span) : null;
  const folded = steps.fold(input.bytes, result?.bytes ?? null, op).finally(() => input.release());
  const combined = result
    ? folded.then(() => hub!.combine(slot, result.bytes, result.bytes))
    : hub!.combine(slot, null, null);
  for (const step of [folded, combined]) step.catch(() => undefined);
  return { steps, result, folded, combined, spread: null };
}

/** Brings the result of a segment to the cluster's ranks. */
async function end(context: Context, segment: Segment): Promise<void> {
  const { executor } = context;
  const { steps, result, folded, combined } = segment;
  await Promise.all([folded, combined]);
  const outcome = result ?? executor.receive(steps.span);
  segment.spread = steps.spread(outcome.bytes, result !== null).then(() => executor.write(steps.span, outcome));
  segment.spread.catch(() => undefined);
}

/** NCCL's part of one segment. Each method puts its work on the communicator before it returns. */
class Steps {
  readonly span: Span;
  readonly #communicator: NcclCommunicator;
  readonly #pool: DevicePool;
  /** The delegate's rank in the communicator. */
  readonly #delegate: number;

  constructor(communicator: NcclCommunicator, pool: DevicePool, span: Span, delegate: number) {
    this.#communicator = communicator;
    this.#pool = pool;
    this.span = span;
    this.#delegate = delegate;
  }

  /** At the delegate `into` becomes the fold of the cluster's `bytes`; elsewhere it is null. */
  fold(bytes: Uint8Array, into: Uint8Array | null, op: ReduceOp): Promise<void> {
    return this.#onDevice((placed) => {
      this.#communicator.copyIn(placed, bytes);
      this.#communicator.reduce(into && placed, placed, this.#delegate, foldedBy(op)!);
      if (into) this.#communicator.copyOut(into, placed);
    });
  }

  /** The delegate's `bytes` become everyone's. */
  spread(bytes: Uint8Array, isDelegate: boolean): Promise<void> {
    return this.#onDevice((placed) => {
      if (isDelegate) this.#communicator.copyIn(placed, bytes);
      this.#communicator.broadcast(placed, placed, this.#delegate);
      if (!isDelegate) this.#communicator.copyOut(bytes, placed);
    });
  }

  async #onDevice(work: (placed: OnDevice) => void): Promise<void> {
    const { dtype, count, byteLength } = this.span;
    const cuda = this.#pool.take(byteLength);
    work({ cuda, dtype, byteOffset: 0, count });
    await this.#communicator.flush();
    this.#pool.giveBack(cuda);
  }
}

/** NCCL's operation for a fold whose inputs are prepared and whose result will be finished, or null. */
function foldedBy({ name }: ReduceOp): NcclOp | null {
  switch (name) {
    case "sum":
    case "avg":
    case "premul-sum":
      return "sum";
    case "product":
    case "min":
    case "max":
      return name;
    default:
      return null;
  }
}

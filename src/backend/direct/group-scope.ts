/** Group scope: what all calls of one group on the direct backend have in common, and what each of them is given because of it. */

import type { Context, Transfer } from "../../algorithm/context.ts";
import { AbortedError, DeviceLostError } from "../../errors.ts";
import type { Executor, Flow, Span } from "../../executor/executor.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { ChannelExchange } from "../../messaging/exchange.ts";
import type { HubCall, HubGroup } from "../../messaging/hub-folds.ts";
import type { Region } from "../../region/region.ts";
import { textOf } from "../../support/thrown.ts";
import { isOfHub, type Plan } from "./planning.ts";

/** One group's. */
export interface GroupScope {
  readonly channel: Channel;
  /** The folds at the hub, if all ranks of the group are connected to one. */
  readonly hub: HubGroup | null;
  /** What the ranks have beyond messages, if anything. */
  readonly region: Region | null;
  readonly segmentBytes: number;
  readonly segmentsInFlight: number;
  readonly onTransfer?: ((transfer: Transfer) => void) | undefined;
}

/** What an algorithm of this group finds beside its call's messages. `segments`: how many may be in flight, if fewer than usual. */
export function surroundings(
  { channel: { rank, size }, region, segmentBytes, segmentsInFlight, onTransfer }: GroupScope,
  executor: Executor,
  segments = segmentsInFlight,
): Omit<Context, "exchange" | "hub"> {
  return { rank, size, executor, region, segmentBytes, segmentsInFlight: segments, onTransfer };
}

/** How much of a call is under way at once; undefined where it is short, and takes little memory. Each run of elements has `parts` chunks. */
export function flowOf(
  { segmentBytes, segmentsInFlight }: GroupScope,
  { longestBytes, scratch }: Pick<Plan, "longestBytes" | "scratch">,
  parts: number,
): Flow | undefined {
  const longest = longestBytes / parts;
  if (longest <= segmentBytes) return undefined;
  return { segmentBytes, segments: Math.min(segmentsInFlight, Math.ceil(longest / segmentBytes)), scratch };
}

/** The call's folds at the hub, if it is one that the hub runs. */
export function foldsOf(
  { hub, segmentBytes, segmentsInFlight }: GroupScope,
  plan: Plan,
  exchange: ChannelExchange,
): HubCall | null {
  if (!hub || !isOfHub(plan)) return null;
  return hub.call(exchange, plan.fingerprint, segmentBytes * segmentsInFlight);
}

/**
 * The error of a call on these spans, which may not be this rank's own fault: ranks that share a GPU device share its commands, and
 * one buffer that another rank has destroyed fails them all. It is another's if the executor still takes all of the call's tensors.
 */
export async function faultOf(executor: Executor, spans: readonly Span[], error: unknown): Promise<unknown> {
  if (executor.memoryKind !== "gpu") return error;
  // The failure of this call's commands is told now, and so to no later call.
  await executor.settled().catch(() => {});
  if (!(error instanceof TypeError)) return error;
  try {
    await executor.admit(spans, null);
  } catch {
    return error;
  }
  return new Error(
    `its own tensors are usable: another rank or group on its GPU device destroyed a GPUBuffer that a Work uses. ${error.message}`,
    { cause: error },
  );
}

/** The error with which a call rejects. A fault of this rank alone, such as a custom operation that throws, kills the group. */
export function failureOf({ channel }: GroupScope, exchange: ChannelExchange, error: unknown): unknown {
  if (exchange.error) return exchange.error;
  if (error instanceof DeviceLostError) {
    channel.abort(error);
    return error;
  }
  const text = textOf(error);
  const cause = new AbortedError(`group "${channel.name}": rank ${channel.rank} failed: ${text}`, {
    group: channel.name,
    cause: error,
  });
  channel.abort(cause);
  return cause;
}

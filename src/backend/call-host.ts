/** What the direct backend does for each of its group's calls. */
import type { Context } from "../algorithm/context.ts";
import type { Executor } from "../executor/executor.ts";
import type { Channel } from "../transport/channel.ts";
import type { ChannelExchange } from "../transport/exchange.ts";
import type { HubCall } from "../transport/hub-folds.ts";
import type { HubReduction } from "../transport/transport.ts";
import type { Plan } from "./plan.ts";

/** One group's. */
export interface CallHost {
  readonly channel: Channel;
  /** The call's folds at the hub, if it is one that the hub runs. */
  foldsOf(plan: Plan, exchange: ChannelExchange): HubCall | null;
  /** What its algorithm finds. `segments`: how many may be in flight, if fewer than usual. */
  context(executor: Executor, exchange: ChannelExchange, segments?: number, folds?: HubReduction | null): Context;
  /** What the call rejects with. */
  failed(exchange: ChannelExchange, error: unknown): unknown;
}

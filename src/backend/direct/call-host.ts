/** What the direct backend does for each of its group's calls. */
import type { Context } from "../../algorithm/context.ts";
import type { Executor } from "../../executor/executor.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { ChannelExchange } from "../../messaging/exchange.ts";
import type { HubCall } from "../../messaging/hub-folds.ts";
import type { Plan } from "./plan.ts";

/** What a call's algorithm finds beside the call's messages. */
export type Surroundings = Omit<Context, "exchange" | "hub">;

/** One group's. */
export interface CallHost {
  readonly channel: Channel;
  /** The call's folds at the hub, if it is one that the hub runs. */
  foldsOf(plan: Plan, exchange: ChannelExchange): HubCall | null;
  /** `segments`: how many may be in flight, if fewer than usual. */
  surroundings(executor: Executor, segments?: number): Surroundings;
  /** What the call rejects with. */
  failed(exchange: ChannelExchange, error: unknown): unknown;
}

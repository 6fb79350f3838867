/** What a call that fails on NCCL does to its group, and what it rejects with. */

import { AbortedError } from "../../errors.ts";
import type { Channel } from "../../messaging/channel.ts";
import type { ChannelExchange } from "../../messaging/exchange.ts";
import { startTimer } from "../../support/clock.ts";
import { textOf } from "../../support/thrown.ts";

/** How long the mesh has to name a lost rank when NCCL found an error first, in milliseconds. */
const NAMING_MS = 300;
/** How long a failed call waits for the communicator to let go of its tensors, in milliseconds. */
const LETTING_GO_MS = 2_000;

/**
 * What the call rejects with. Any failure kills the group, since the communicator cannot go on; `running` is what the
 * communicator still does with the caller's tensors.
 */
export async function ncclFailure(
  channel: Channel,
  exchange: ChannelExchange,
  error: unknown,
  running: Promise<void>,
): Promise<unknown> {
  await within(NAMING_MS, new Promise<unknown>((resolve) => exchange.whenFailed(resolve)));
  const text = textOf(error);
  const cause =
    exchange.error ??
    channel.dead ??
    new AbortedError(`group "${channel.name}": rank ${channel.rank} failed: ${text}`, {
      group: channel.name,
      cause: error,
    });
  channel.abort(cause);
  // The communicator's thread may still be copying: the tensors are the caller's again only afterwards.
  await within(LETTING_GO_MS, running);
  return cause;
}

/** Resolves when the promise has settled, or after so many milliseconds. */
function within(ms: number, promise: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = startTimer(ms, resolve);
    const settle = () => {
      timer.cancel();
      resolve();
    };
    promise.then(settle, settle);
  });
}

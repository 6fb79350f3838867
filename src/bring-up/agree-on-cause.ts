/**
 * The cause on which the ranks of a group agree when it dies. They may see several: two ranks die at once, each end of a link
 * takes the other for lost, deadlines pass on all ranks. The first cause that comes to the store is the verdict. Where the
 * store is out of reach, as after the end of the rank that hosts the hub, the lowest rank that is left tells its cause first,
 * and the others hear it while they wait.
 */
import { fromWireError, toWireError, type WebcclError } from "../errors.ts";
import { PrefixStore } from "../store/prefix-store.ts";
import type { Store } from "../store/store.ts";
import { startTimer } from "../support/clock.ts";
import { decodeControl, encodeControl } from "../wire/control.ts";
import { expectWireError } from "../wire/wire-error.ts";

/** How long a rank waits for the store, or else for the cause of another, in milliseconds; each rank longer than the one before. */
const WAIT_MS = 250;
const STEP_MS = 75;
const LONGEST_WAIT_MS = 750;

/** `store` is the job's; `key` tells the group from all others, and `rank` is this rank in it. Never rejects. */
export async function agreeOnCause(store: Store, key: string, cause: WebcclError, rank: number): Promise<WebcclError> {
  const own = encodeControl(toWireError(cause));
  const part = new PrefixStore(`group:${encodeURIComponent(key)}`, store);
  return new Promise((resolve) => {
    const timer = startTimer(Math.min(WAIT_MS + rank * STEP_MS, LONGEST_WAIT_MS), () => resolve(cause));
    part
      .compareSet("verdict", "", own)
      .then((told) => {
        const isOwn = told.length === own.length && told.every((byte, at) => byte === own[at]);
        resolve(isOwn ? cause : fromWireError(expectWireError(decodeControl(told))));
        timer.cancel();
      })
      // Out of reach, or something else stands there: the wait goes on to its end.
      .catch(() => {});
  });
}

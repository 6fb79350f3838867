/** The store that a page keeps for the ranks in its workers, over a MessagePort to each. */
import { fromWireError, toWireError, type WireError } from "../errors.ts";
import { runStoreOp, type StoreOp, storeErrorOf } from "../store/calls.ts";
import { HubStore } from "../store/hub-store.ts";
import { PrefixStore } from "../store/prefix-store.ts";
import type { SpaceStore } from "../store/space-store.ts";
import type { Store } from "../store/store.ts";

interface Call {
  id: string;
  op: StoreOp;
  args: readonly unknown[];
}

interface Answer {
  id: string;
  value?: unknown;
  error?: WireError;
}

/**
 * Answers the calls that come through `port`. Once `lost` has rejected, that is the answer: some rank will not come any
 * more.
 */
export function servePageStore(store: SpaceStore, port: MessagePort, lost: Promise<never>): void {
  port.onmessage = async ({ data: { id, op, args } }: MessageEvent<Call>) => {
    const answer: Answer = await Promise.race([lost, runStoreOp(store, op, args)]).then(
      (value) => ({ id, value }),
      (error: unknown) => ({ id, error: toWireError(storeErrorOf(error)) }),
    );
    port.postMessage(answer);
  };
}

/** The store for meeting `meeting` of the page's ranks, the first of which is 0: each has keys of its own. */
export function openPageStore(port: MessagePort, meeting: number): Store {
  const waiting = new Map<string, (answer: Answer) => void>();
  port.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
    waiting.get(data.id)?.(data);
    waiting.delete(data.id);
  });
  port.start();
  let calls = 0;
  // The page answers as long as it lives, and takes its workers along when it goes.
  const call = (op: string, args: readonly unknown[]) =>
    new Promise<unknown>((resolve, reject) => {
      const id = `${meeting}/${calls++}`;
      waiting.set(id, ({ value, error }) => (error ? reject(fromWireError(error)) : resolve(value)));
      port.postMessage({ id, op, args });
    });
  return new PrefixStore(`meeting-${meeting}`, new HubStore({ call }));
}

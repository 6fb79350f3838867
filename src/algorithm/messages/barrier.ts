/**
 * Barrier by dissemination, for any number of ranks.
 *
 * At distance d = 1, 2, 4, … rank r tells rank r + d and waits for rank r − d; after that it knows that ranks
 * r − 2d + 1 … r have arrived. After the last distance those are all.
 *
 * Per rank: ⌈log₂ N⌉ empty messages each way.
 *
 * Hensgen, Finkel, Manber: Two algorithms for barrier synchronization. Int. J. Parallel Program. 17 (1988).
 * DOI 10.1007/BF01379320
 */
import type { Context } from "../context.ts";
import { doublingDistances, wrap } from "../toolkit/pattern.ts";

/** Resolves when every rank has called it. */
export async function barrier({ rank, size, exchange }: Context): Promise<void> {
  for (const distance of doublingDistances(size)) {
    await Promise.all([
      exchange.send(wrap(rank + distance, size), new Uint8Array(0), 0),
      exchange.recv(wrap(rank - distance, size), new Uint8Array(0), 0),
    ]);
  }
}

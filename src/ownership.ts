/**
 * Ownership: a Work owns its tensors until it settles. Two pending Works may read the same memory; if one of them
 * writes it, the second call is refused.
 */
import { type Extent, extentOf, sharedBytes } from "./extent.ts";
import type { Tensor } from "./types.ts";

interface Holding extends Extent {
  readonly written: boolean;
  readonly owner: string;
}

/** What one Work holds. */
export type Claim = readonly Holding[];

/** The memory of one rank's pending Works. */
export class Ownership {
  readonly #claims = new Set<Claim>();

  /**
   * Claims the memory of `read` and `written` for `owner`, a call in words.
   * @throws TypeError if it overlaps the memory of a pending Work and either writes it.
   */
  claim(owner: string, read: readonly Tensor[], written: readonly Tensor[]): Claim {
    const claim = [
      ...read.map((tensor) => ({ ...extentOf(tensor), written: false, owner })),
      ...written.map((tensor) => ({ ...extentOf(tensor), written: true, owner })),
    ];
    for (const pending of this.#claims) {
      for (const theirs of pending) {
        for (const ours of claim) {
          const shared = ours.written || theirs.written ? sharedBytes(ours, theirs) : null;
          if (!shared) continue;
          throw new TypeError(
            `${owner}: its tensor shares bytes ${shared.start} to ${shared.end} of a buffer with ${theirs.owner}, ` +
              "which is still running: await that one first, or use another tensor",
          );
        }
      }
    }
    this.#claims.add(claim);
    return claim;
  }

  release(claim: Claim): void {
    this.#claims.delete(claim);
  }
}

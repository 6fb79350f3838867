/**
 * Ownership: a Work owns its host tensors until it settles. Two pending Works may read the same memory; if one of them
 * writes it, the second call is refused.
 */
import type { Tensor } from "./types.ts";

interface Range {
  readonly buffer: ArrayBufferLike;
  readonly start: number;
  readonly end: number;
  readonly written: boolean;
  readonly owner: string;
}

/** What one Work holds. */
export type Claim = readonly Range[];

/** The memory of one rank's pending Works. */
export class Ownership {
  readonly #claims = new Set<Claim>();

  /**
   * Claims the memory of `read` and `written` for `owner`, a call in words.
   * @throws TypeError if it overlaps the memory of a pending Work and either writes it.
   */
  claim(owner: string, read: readonly Tensor[], written: readonly Tensor[]): Claim {
    const claim = [
      ...read.map((tensor) => toRange(tensor, false, owner)),
      ...written.map((tensor) => toRange(tensor, true, owner)),
    ];
    for (const pending of this.#claims) {
      for (const theirs of pending) {
        const clash = claim.find((ours) => overlap(ours, theirs) && (ours.written || theirs.written));
        if (!clash) continue;
        throw new TypeError(
          `${owner}: its tensor shares bytes ${Math.max(clash.start, theirs.start)} to ${Math.min(clash.end, theirs.end)} ` +
            `of a buffer with ${theirs.owner}, which is still running: await that one first, or use another tensor`,
        );
      }
    }
    this.#claims.add(claim);
    return claim;
  }

  release(claim: Claim): void {
    this.#claims.delete(claim);
  }
}

function toRange(tensor: Tensor, written: boolean, owner: string): Range {
  const { buffer, byteOffset, byteLength } = "dtype" in tensor ? tensor.data : tensor;
  return { buffer, start: byteOffset, end: byteOffset + byteLength, written, owner };
}

function overlap(a: Range, b: Range): boolean {
  return a.buffer === b.buffer && Math.max(a.start, b.start) < Math.min(a.end, b.end);
}

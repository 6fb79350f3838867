/**
 * Claims: a Work owns its tensors until it settles. Two pending Works may read the same memory; if one of them
 * writes it, the second call is refused.
 */
import { overlapOf, type TensorView } from "../tensor/view.ts";

interface Holding {
  readonly view: TensorView;
  readonly written: boolean;
  readonly owner: string;
}

/** What one Work holds. */
export type Claim = readonly Holding[];

/** A call, as an error names it. */
export interface CallName {
  readonly collective: string;
  readonly sequence: number;
}

/** The memory of one rank's pending Works. */
export class Claims {
  readonly #claims = new Set<Claim>();

  /**
   * May a call have the memory of `read` and `written`? One that ends before it returns need not claim it as well.
   * @throws TypeError if it overlaps the memory of a pending Work and either writes it.
   */
  check(call: CallName, read: readonly TensorView[], written: readonly TensorView[]): void {
    if (this.#claims.size === 0) return;
    const claim = claimOf(call, read, written);
    for (const pending of this.#claims) {
      for (const theirs of pending) {
        for (const ours of claim) {
          const common = ours.written || theirs.written ? overlapOf(ours.view, theirs.view) : null;
          if (!common) continue;
          throw new TypeError(
            `${ours.owner}: its tensor shares bytes ${common.start} to ${common.end} of a buffer with ${theirs.owner}, ` +
              "which is still running: await that one first, or use another tensor",
          );
        }
      }
    }
  }

  /** Claims the memory of `read` and `written`, which was checked, for a call. */
  claim(call: CallName, read: readonly TensorView[], written: readonly TensorView[]): Claim {
    const claim = claimOf(call, read, written);
    this.#claims.add(claim);
    return claim;
  }

  release(claim: Claim): void {
    this.#claims.delete(claim);
  }
}

function claimOf(
  { collective, sequence }: CallName,
  read: readonly TensorView[],
  written: readonly TensorView[],
): Claim {
  const owner = `${collective} ${sequence}`;
  return [
    ...read.map((view) => ({ view, written: false, owner })),
    ...written.map((view) => ({ view, written: true, owner })),
  ];
}

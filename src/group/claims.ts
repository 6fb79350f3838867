/**
 * Claims: a Work owns its tensors until it settles. Two pending Works may read the same memory; if one of them
 * writes it, the second call is refused.
 */
import { overlapOf, type TensorView } from "../tensor/view.ts";

export interface Holding {
  readonly view: TensorView;
  readonly written: boolean;
  readonly owner: string;
}

/** What one Work holds. */
export interface Claim {
  readonly call: CallName;
  readonly read: readonly TensorView[];
  readonly written: readonly TensorView[];
  /** The same, as the ranges have it; null as long as no other call was compared with it. */
  holdings: readonly Holding[] | null;
}

/** A call, as an error names it. */
export interface CallName {
  readonly collective: string;
  /** 0: the call has none, since it is made of several collectives. */
  readonly sequence: number;
}

/**
 * The memory of one rank's pending Works. A claim is sorted into the ranges when the next call asks: most calls are awaited before that,
 * and then it is never looked at, however many tensors it has.
 */
export class Claims {
  readonly #ranges = new Ranges();
  readonly #unsorted = new Set<Claim>();

  /**
   * May a call have the memory of `read` and `written`? One that ends before it returns need not claim it as well.
   * @throws TypeError if it overlaps the memory of a pending Work and either writes it.
   */
  check(call: CallName, read: readonly TensorView[], written: readonly TensorView[]): void {
    for (const claim of this.#unsorted) {
      claim.holdings = holdingsOf(claim);
      for (const holding of claim.holdings) this.#ranges.add(holding);
    }
    this.#unsorted.clear();
    if (this.#ranges.isEmpty) return;
    for (const ours of holdingsOf({ call, read, written })) {
      const theirs = this.#ranges.find(ours);
      if (!theirs) continue;
      const common = overlapOf(ours.view, theirs.view);
      throw new TypeError(
        `${ours.owner}: its tensor shares bytes ${common?.start} to ${common?.end} of a buffer with ${theirs.owner}, ` +
          "which is still running: await that one first",
      );
    }
  }

  /** Claims the memory of `read` and `written`, which was checked, for a call. */
  claim(call: CallName, read: readonly TensorView[], written: readonly TensorView[]): Claim {
    const claim = { call, read, written, holdings: null };
    this.#unsorted.add(claim);
    return claim;
  }

  /** {@link check} and {@link claim} for a call of several collectives; returns how to release it. */
  hold(owner: string, read: readonly TensorView[], written: readonly TensorView[]): () => void {
    const call = { collective: owner, sequence: 0 };
    this.check(call, read, written);
    const claim = this.claim(call, read, written);
    return () => this.release(claim);
  }

  release(claim: Claim): void {
    this.#unsorted.delete(claim);
    for (const holding of claim.holdings ?? []) this.#ranges.remove(holding);
  }
}

/**
 * Tensors of one call: no output may share memory with another output, or with the input of another. An output's own input,
 * of the same index, is not looked at.
 * @throws TypeError that names the two.
 */
export function checkApart(inputs: readonly TensorView[], outputs: readonly TensorView[]): void {
  const holdings = outputs.map((output, i) => {
    const name = inputs.length === 0 ? `tensors[${i}]` : `outputs[${i}]`;
    const own: Holding[] = [{ view: output, written: true, owner: name }];
    const input = inputs[i];
    if (input) own.push({ view: input, written: false, owner: `inputs[${i}]` });
    return own;
  });
  requireApart(holdings);
}

/** @throws TypeError that names two holdings, of different lists, that share memory which one of them writes. */
export function requireApart(lists: readonly (readonly Holding[])[]): void {
  const ranges = new Ranges();
  for (const own of lists) {
    for (const ours of own) {
      const theirs = ranges.find(ours);
      if (theirs) throw new TypeError(`${theirs.owner} and ${ours.owner} share memory`);
    }
    for (const holding of own) ranges.add(holding);
  }
}

/** Ranges of memory, by buffer and in the order of their beginnings: a question looks at few of them. */
class Ranges {
  readonly #byBuffer = new Map<object, { sorted: Holding[]; longestBytes: number }>();

  get isEmpty(): boolean {
    return this.#byBuffer.size === 0;
  }

  /** One that overlaps `holding`, where one of the two is written; or null. */
  find({ view, written }: Holding): Holding | null {
    const ranges = this.#byBuffer.get(view.buffer);
    if (!ranges || view.byteLength === 0) return null;
    const { sorted, longestBytes } = ranges;
    const end = view.byteOffset + view.byteLength;
    for (let i = lowerBound(sorted, view.byteOffset - longestBytes + 1); i < sorted.length; i++) {
      const other = sorted[i]!;
      if (other.view.byteOffset >= end) return null;
      if ((written || other.written) && other.view.byteOffset + other.view.byteLength > view.byteOffset) return other;
    }
    return null;
  }

  add(holding: Holding): void {
    const { buffer, byteOffset, byteLength } = holding.view;
    if (byteLength === 0) return;
    const ranges = this.#byBuffer.get(buffer) ?? { sorted: [], longestBytes: 0 };
    this.#byBuffer.set(buffer, ranges);
    ranges.longestBytes = Math.max(ranges.longestBytes, byteLength);
    ranges.sorted.splice(lowerBound(ranges.sorted, byteOffset + 1), 0, holding);
  }

  remove(holding: Holding): void {
    const ranges = this.#byBuffer.get(holding.view.buffer);
    if (!ranges) return;
    const { sorted } = ranges;
    const index = sorted.indexOf(holding, lowerBound(sorted, holding.view.byteOffset));
    if (index >= 0) sorted.splice(index, 1);
    if (sorted.length === 0) this.#byBuffer.delete(holding.view.buffer);
  }
}

/** The first index whose range begins at `byteOffset` or behind it. */
function lowerBound(sorted: readonly Holding[], byteOffset: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]!.view.byteOffset < byteOffset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function holdingsOf({ call, read, written }: Omit<Claim, "holdings">): Holding[] {
  const owner = call.sequence === 0 ? call.collective : `${call.collective} ${call.sequence}`;
  return [
    ...read.map((view) => ({ view, written: false, owner })),
    ...written.map((view) => ({ view, written: true, owner })),
  ];
}

/** Pairwise covering arrays: few rows in which every pair of values of two factors still occurs. */
import { SeededRandom } from "../support/seeded-random.ts";

/** The values of each factor, by its name. */
export type Factors = Readonly<Record<string, readonly unknown[]>>;

/** One value of each factor. */
export type Row<F extends Factors> = { [Name in keyof F]: F[Name][number] };

/** May these values of two factors, given by name, stand in one row? */
export type PairFilter = (pair: Readonly<Record<string, unknown>>) => boolean;

/**
 * Rows of the factors' values in which every pair of values of two factors that `allows` lets pass occurs in at least
 * one row, and no other pair in any. The same seed gives the same rows. Greedy, as in AETG (D. Cohen et al.,
 * doi:10.1109/32.605761): each row starts from a pair still missing and takes, factor by factor in random order, the value that brings the most
 * missing pairs.
 * @throws RangeError if a pair is allowed and yet no whole row with it was found.
 */
export function pairwiseCover<F extends Factors>(factors: F, seed: number, allows: PairFilter = () => true): Row<F>[] {
  const random = new SeededRandom(seed, "pairwise");
  const names = Object.keys(factors);
  const cover = new Cover(factors, names, allows);
  const rows: Row<F>[] = [];
  for (let pair = cover.first(); pair; pair = cover.first()) {
    const row = cover.extend(pair, random);
    if (!row) throw new RangeError(`no row holds ${JSON.stringify(pair)} and obeys the filter`);
    cover.take(row);
    rows.push(Object.fromEntries(names.map((name) => [name, factors[name]?.[row[name] as number]])) as Row<F>);
  }
  return rows;
}

/** Values by their index in the factor's list. */
type Choice = Record<string, number>;

/** The pairs still missing. */
class Cover {
  readonly #factors: Factors;
  readonly #names: readonly string[];
  readonly #allowed = new Set<string>();
  readonly #missing = new Map<string, Choice>();

  constructor(factors: Factors, names: readonly string[], allows: PairFilter) {
    this.#factors = factors;
    this.#names = names;
    names.forEach((left, position) => {
      for (const right of names.slice(position + 1)) {
        factors[left]?.forEach((leftValue, i) => {
          factors[right]?.forEach((rightValue, j) => {
            if (allows({ [left]: leftValue, [right]: rightValue }))
              this.#missing.set(this.#key(left, i, right, j), { [left]: i, [right]: j });
          });
        });
      }
    });
    for (const key of this.#missing.keys()) this.#allowed.add(key);
  }

  first(): Choice | undefined {
    return this.#missing.values().next().value;
  }

  /** A whole row around `pair`, or null after many attempts. */
  extend(pair: Choice, random: SeededRandom): Choice | null {
    for (let attempt = 0; attempt < 50; attempt++) {
      const row = { ...pair };
      const rest = random.shuffle(this.#names.filter((name) => !(name in pair)));
      if (rest.every((name) => this.#choose(row, name, random))) return row;
    }
    return null;
  }

  take(row: Choice): void {
    this.#names.forEach((left, position) => {
      for (const right of this.#names.slice(position + 1)) {
        this.#missing.delete(this.#key(left, row[left] as number, right, row[right] as number));
      }
    });
  }

  /** Gives `row` the value of `name` that brings most; false if none is allowed beside what is there. */
  #choose(row: Choice, name: string, random: SeededRandom): boolean {
    let best = -1;
    let bestGain = -1;
    const indices = random.shuffle([...(this.#factors[name] as readonly unknown[]).keys()]);
    for (const index of indices) {
      let gain = 0;
      for (const [other, value] of Object.entries(row)) {
        const key = this.#key(other, value, name, index);
        if (!this.#allowed.has(key)) gain = Number.NEGATIVE_INFINITY;
        else if (this.#missing.has(key)) gain++;
      }
      if (gain > bestGain) [best, bestGain] = [index, gain];
    }
    if (best < 0) return false;
    row[name] = best;
    return true;
  }

  /** The same for both orders of the two factors. */
  #key(left: string, i: number, right: string, j: number): string {
    const [a, b] = [this.#names.indexOf(left), this.#names.indexOf(right)];
    return a < b ? `${a}:${i},${b}:${j}` : `${b}:${j},${a}:${i}`;
  }
}

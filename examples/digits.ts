/**
 * Statistics of 10,000 handwritten digits: all ranks compute them together, and rank 0 checks them alone.
 *
 *   npx webccl run -n 4 examples/digits.ts
 *
 * Every rank takes an equal share of the digits and sums, in whole numbers: how often each digit occurs, its pixels
 * (10 × 784), and the products of all pairs of pixels (784 × 784). Those products are the second moment, from which
 * covariance and PCA follow. One allReduceAll makes the three the sums over all digits. The largest sum,
 * 10,000 × 255², fits an i32, so equality is exact. Rank 0 then does all the work alone, and compares.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { evenShare, initProcessGroup } from "webccl";

const SIDE = 28;
const PIXELS = SIDE * SIDE;
/** Images of each digit in the package `mnist`. */
const IMAGES = [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978] as const;
const TOTAL = IMAGES.reduce((sum, count) => sum + count, 0);

interface Sums {
  images: Int32Array;
  pixels: Int32Array;
  products: Int32Array;
}

/** The sums over images `start` to `end` of all, in the order of their digit. Reads only the files they are in. */
function sumImages(start: number, end: number): Sums {
  const require = createRequire(import.meta.url);
  const sums = {
    images: new Int32Array(IMAGES.length),
    pixels: new Int32Array(IMAGES.length * PIXELS),
    products: new Int32Array(PIXELS * PIXELS),
  };
  let first = 0;
  IMAGES.forEach((count, digit) => {
    const from = Math.max(start, first) - first;
    const to = Math.min(end, first + count) - first;
    first += count;
    if (from >= to) return;
    const { data } = JSON.parse(readFileSync(require.resolve(`mnist/src/digits/${digit}.json`), "utf8"));
    if (data.length !== count * PIXELS) throw new Error(`digit ${digit}: ${data.length} pixels, not ${count * PIXELS}`);
    for (let i = from; i < to; i++) addImage(sums, digit, data.slice(i * PIXELS, (i + 1) * PIXELS));
  });
  return sums;
}

/** The package stores x = pixel / 255, rounded to three decimals. */
function addImage({ images, pixels, products }: Sums, digit: number, stored: readonly number[]): void {
  const image = Int32Array.from(stored, (x) => Math.round(255 * x));
  const inked = [...image.keys()].filter((p) => image[p] !== 0);
  images[digit]! += 1;
  for (const p of inked) {
    pixels[digit * PIXELS + p]! += image[p]!;
    for (const q of inked) products[p * PIXELS + q]! += image[p]! * image[q]!;
  }
}

/** Mean images side by side, dark where ink is; two rows of pixels make one row of text. */
function draw(digits: readonly number[], { images, pixels }: Sums): string {
  const shades = " .:-=+*#%@";
  const [left, right, top, bottom] = [6, 23, 4, 24];
  const shadeAt = (digit: number, row: number, column: number) => {
    const at = digit * PIXELS + row * SIDE + column;
    const mean = (pixels[at]! + pixels[at + SIDE]!) / (2 * images[digit]!);
    return shades[Math.min(shades.length - 1, Math.floor((mean / 200) * shades.length))];
  };
  const lines: string[] = [];
  for (let row = top; row < bottom; row += 2) {
    const line = digits.map((digit) =>
      Array.from({ length: right - left }, (_, column) => shadeAt(digit, row, left + column)).join(""),
    );
    lines.push(line.join("  ").trimEnd());
  }
  return lines.join("\n");
}

const group = await initProcessGroup();
const { rank, size } = group;

const { start, count } = evenShare(TOTAL, rank, size);
const sums = sumImages(start, start + count);
console.log(`rank ${rank} (process ${process.pid}) summed images ${start} to ${start + count - 1}`);

await group.barrier();
const before = performance.now();
await group.allReduceAll([sums.images, sums.pixels, sums.products]);
const elapsedMs = performance.now() - before;

if (rank === 0) {
  const alone = sumImages(0, TOTAL);
  console.log(
    `\n${size} ranks together, allReduceAll of 3 tensors in ${elapsedMs.toFixed(1)} ms, against one process:`,
  );
  let wrong = 0;
  for (const name of ["images", "pixels", "products"] as const) {
    const differing = sums[name].filter((value, i) => value !== alone[name][i]).length;
    const total = sums[name].reduce((sum, value) => sum + value, 0);
    wrong += differing;
    const verdict = differing === 0 ? "equal" : `${differing} differ`;
    console.log(`  ${name.padEnd(8)} ${String(sums[name].length).padStart(6)} numbers, total ${total}: ${verdict}`);
  }
  console.log(`\nMean images of 0, 3, 5 and 8:\n${draw([0, 3, 5, 8], sums)}\n`);
  if (wrong > 0) process.exitCode = 1;
}
await group.destroy();

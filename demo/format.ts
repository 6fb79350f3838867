/** Figures as pages show them. */

/** "1.25 GB/s", "12 MB/s", "480 kB/s" or "0", of 10^9 bytes per second. */
export function formatRate(rate: number): string {
  if (rate === 0) return "0";
  if (rate >= 0.9995) return `${formatNumber(rate)} GB/s`;
  return rate >= 0.0009995 ? `${formatNumber(rate * 1e3)} MB/s` : `${formatNumber(rate * 1e6)} kB/s`;
}

/** "64 KiB". */
export function formatBytes(bytes: number): string {
  for (const [unit, size] of [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const) {
    if (bytes >= size) return `${Number((bytes / size).toFixed(1))} ${unit}`;
  }
  return `${bytes} B`;
}

/** "840 µs", "12.3 ms". */
export function formatMs(ms: number): string {
  return ms < 1 ? `${(1000 * ms).toFixed(0)} µs` : `${ms.toFixed(ms < 100 ? 1 : 0)} ms`;
}

function formatNumber(value: number): string {
  return String(Number(value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)));
}

/** Sizes as they are typed and printed: 64, 4K, 16M. */

/** @throws RangeError if `text` is none. */
export function bytesOf(text: string): number {
  const [, digits, unit] = /^(\d+)([KM]?)$/i.exec(text) ?? [];
  if (!digits) throw new RangeError(`"${text}" is not a size such as 64M`);
  return Number(digits) * (unit?.toUpperCase() === "M" ? 2 ** 20 : unit ? 1024 : 1);
}

export function sizeText(bytes: number): string {
  if (bytes >= 2 ** 20) return `${bytes / 2 ** 20}M`;
  return bytes >= 1024 ? `${bytes / 1024}K` : `${bytes}`;
}

/** Trace: all that happened in a world, in order, as one hash and, where it is wanted, as lines. */

/** See the file's head. */
export class Trace {
  /** One line for each event; null unless they are wanted. */
  readonly lines: string[] | null;
  #high = 0xcbf29ce4;
  #low = 0x84222325;

  constructor(keepsLines: boolean) {
    this.lines = keepsLines ? [] : null;
  }

  /** Eight bytes in hexadecimal. */
  get hash(): string {
    return [this.#high, this.#low].map((half) => half.toString(16).padStart(8, "0")).join("");
  }

  /** `where` is a process's name. */
  add(timeMs: number, where: string, kind: string, detail: string): void {
    const line = `${timeMs.toFixed(3)} ${where}: ${kind} ${detail}`;
    this.lines?.push(line);
    for (let at = 0; at < line.length; at++) {
      const code = line.charCodeAt(at);
      this.#low = Math.imul(this.#low ^ code, 0x01000193) >>> 0;
      this.#high = Math.imul(this.#high ^ code ^ (this.#low >>> 24), 0x01000193) >>> 0;
    }
  }
}

/** A short text for bytes: how many, and a hash of the first. */
export function textOfBytes(bytes: Uint8Array): string {
  let hash = 0x811c9dc5;
  const end = Math.min(bytes.byteLength, 96);
  for (let at = 0; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return `${bytes.byteLength} B ${(hash >>> 0).toString(16)}`;
}

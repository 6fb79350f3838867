/** Copies into memory that threads share, around V8's slow path. */

/** Below this many bytes a byte at a time is fast enough. */
const SHORT_BYTES = 256;
const WORD_BYTES = 8;
/** Misaligned bytes go through it; nothing stays in it. */
const aligned = new Uint8Array(64 * 1024 + WORD_BYTES);

/**
 * Copies `bytes` to `target` from `at` on. Into shared memory V8 copies words where both sides lie alike, and else single
 * bytes, at a tenth of the speed: those are moved to where words do it first.
 */
export function copyBytes(target: Uint8Array, at: number, bytes: Uint8Array): void {
  const shift = (target.byteOffset + at - bytes.byteOffset) % WORD_BYTES;
  if (shift === 0 || bytes.byteLength < SHORT_BYTES || target.buffer instanceof ArrayBuffer) {
    target.set(bytes, at);
    return;
  }
  const step = aligned.byteLength - WORD_BYTES;
  const start = (target.byteOffset + at) % WORD_BYTES;
  for (let done = 0; done < bytes.byteLength; done += step) {
    const part = bytes.subarray(done, done + step);
    aligned.set(part, start);
    target.set(aligned.subarray(start, start + part.byteLength), at + done);
  }
}

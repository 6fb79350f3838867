/** Buffers that may have another length later (ES2024), whose types the compiler's library lacks. */

/** A buffer whose length may change. */
interface ResizableBuffer extends ArrayBuffer {
  readonly resizable: boolean;
  resize(byteLength: number): void;
}

/** A buffer of `byteLength` bytes, which may become longer or shorter. */
export function resizableBuffer(byteLength: number): ArrayBuffer {
  const Buffer = ArrayBuffer as unknown as new (bytes: number, options: { maxByteLength: number }) => ArrayBuffer;
  return new Buffer(byteLength, { maxByteLength: 65_536 });
}

/** Is it one whose length may change? */
export function isResizable(buffer: ArrayBufferLike): buffer is ResizableBuffer {
  return buffer instanceof ArrayBuffer && (buffer as ResizableBuffer).resizable;
}

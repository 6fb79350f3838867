/** Text of bytes. */

/** It keeps U+FEFF at the beginning, which a decoder drops unless it is told to ignore it as a mark. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The text of UTF-8. What is none becomes U+FFFD. */
export function decodeUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** SHA-256 and HMAC-SHA-256: the platform's where it has them, which pages outside a secure context do not. */

/** The hash of `message`. */
export async function sha256(message: Uint8Array): Promise<Uint8Array> {
  const subtle = globalThis.crypto?.subtle;
  if (subtle) return new Uint8Array(await subtle.digest("SHA-256", unshared(message)));
  const noble = await import("../packages/noble-hashes.ts");
  return noble.sha256(message);
}

/** The keyed hash of `message`. */
export async function hmacSha256(key: Uint8Array, message: Uint8Array): Promise<Uint8Array> {
  const subtle = globalThis.crypto?.subtle;
  // The platform's takes no empty key everywhere.
  if (!subtle || key.byteLength === 0) {
    const noble = await import("../packages/noble-hashes.ts");
    return noble.hmac(noble.sha256, key, message);
  }
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await subtle.importKey("raw", unshared(key), algorithm, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", imported, unshared(message)));
}

/** The platform takes no memory that threads share. */
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : Uint8Array.from(bytes);
}

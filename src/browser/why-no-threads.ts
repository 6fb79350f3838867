/** Why the workers of this page cannot share memory. Loaded by a page that starts ranks. */

/** The smallest module of WebAssembly: its magic number and its version. */
const SMALLEST_MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

/** What keeps them from it and what to do, or null if they can. */
export function whyNoThreads(): string | null {
  if (!isSecureContext) {
    return "this page did not come over https or from localhost, so no browser lets it share memory: serve it over https";
  }
  if (!crossOriginIsolated) {
    return (
      "this page is not cross-origin isolated, so its workers cannot share memory: serve it with the headers " +
      "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp"
    );
  }
  if (typeof SharedArrayBuffer === "undefined") {
    return "this browser has no SharedArrayBuffer, though the page is cross-origin isolated: workers cannot share memory in it";
  }
  if (typeof Atomics.waitAsync === "undefined") {
    return "this browser has no Atomics.waitAsync, by which ranks that share memory wait for each other: use a newer one";
  }
  try {
    new WebAssembly.Module(SMALLEST_MODULE);
  } catch {
    return "WebAssembly is blocked here, and ranks share its memory: allow 'wasm-unsafe-eval' in script-src of the page's policy";
  }
  return null;
}

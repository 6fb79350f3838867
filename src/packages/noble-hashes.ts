/** SHA-256 and its keyed form, for pages without `crypto.subtle`. The build bundles them into this file. */
export { hmac } from "@noble/hashes/hmac.js";
export { sha256 } from "@noble/hashes/sha2.js";

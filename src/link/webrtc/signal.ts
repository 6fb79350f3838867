/**
 * Signals: how two ranks tell each other, through the store, where a data channel can reach them. Any member of the group can write
 * there, so a signal is checked before a browser reads it.
 */
import { ProtocolError } from "../../errors.ts";
import { decodeControl, encodeControl } from "../../wire/control.ts";
import { expectFields, expectOneOf, expectString } from "../../wire/schema.ts";

/** A session description with all candidates in it, or why there is none. */
export type Signal =
  | { readonly type: "offer" | "answer"; readonly sdp: string }
  | { readonly type: "none"; readonly reason: string };

/** Most characters of a description; one with 32 addresses has about 5,000. */
const MOST_SDP = 32_768;
const MOST_CANDIDATES = 64;
const MOST_REASON = 1_024;

/** A signal as it stands in the store. */
export function encodeSignal(signal: Signal): Uint8Array {
  return encodeControl(signal.type === "none" ? { ...signal, reason: signal.reason.slice(0, MOST_REASON) } : signal);
}

/**
 * The description of type `expected` in `bytes`, or the other rank's reason to have none.
 * @throws ProtocolError if they hold neither, or a description of anything but one data channel.
 */
export function decodeSignal(bytes: Uint8Array, expected: "offer" | "answer"): Signal {
  if (bytes.byteLength > MOST_SDP + MOST_REASON) throw new ProtocolError("a signal is too long");
  const fields = expectFields(decodeControl(bytes), "signal");
  const type = expectOneOf(fields, "type", [expected, "none"]);
  if (type === "none") return { type, reason: expectString(fields, "reason", MOST_REASON) };
  const sdp = expectString(fields, "sdp", MOST_SDP);
  checkDescription(sdp);
  return { type, sdp };
}

/** Can anyone reach the rank that says this? Without an address of its own, nobody can. */
export function hasCandidates(sdp: string): boolean {
  return /^a=candidate:/m.test(sdp);
}

/** @throws ProtocolError for all but one data channel, encrypted, and few candidates. */
function checkDescription(sdp: string): void {
  const lines = sdp.split(/\r?\n/);
  const media = lines.filter((line) => line.startsWith("m="));
  const isChannel = media.length === 1 && /^m=application \d+ UDP\/DTLS\/SCTP webrtc-datachannel$/.test(media[0]!);
  const candidates = lines.filter((line) => line.startsWith("a=candidate:")).length;
  const isSealed = lines.some((line) => line.startsWith("a=fingerprint:"));
  if (!sdp.startsWith("v=0") || !isChannel || !isSealed || candidates > MOST_CANDIDATES) {
    throw new ProtocolError("a signal describes something else than one data channel");
  }
}

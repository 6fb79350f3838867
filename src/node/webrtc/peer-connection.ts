/** Peer connections of Node and Deno: by the package @roamhq/wrtc, an optional peer dependency that brings its binaries with it. */
import { UnsupportedError } from "../../errors.ts";

/** Named in a variable, so that neither a compiler nor a bundler asks for a package that may be absent. */
const PACKAGE: string = "@roamhq/wrtc";

/**
 * The package's class.
 * @throws UnsupportedError if it is not installed, or has no binaries for this system.
 */
export async function loadPeerConnection(): Promise<typeof RTCPeerConnection> {
  try {
    const { default: wrtc } = (await import(PACKAGE)) as { default: { RTCPeerConnection: typeof RTCPeerConnection } };
    return wrtc.RTCPeerConnection;
  } catch (cause) {
    throw new UnsupportedError(
      "data channels outside browsers need the package @roamhq/wrtc: `npm install @roamhq/wrtc`, or leave transport out to join by the hub",
      { cause },
    );
  }
}

/** A link's receiver that counts. */
import type { LinkReceiver } from "../../src/link/link.ts";

/** Frames and closes that came. */
export function countingReceiver(onFrame: LinkReceiver["onFrame"] = () => {}) {
  const came = { frames: 0, closes: 0 };
  const listener: LinkReceiver = {
    onFrame: (header, payload) => {
      came.frames++;
      onFrame(header, payload);
    },
    onDamaged: () => {},
    onClose: () => {
      came.closes++;
    },
  };
  return { came, listener };
}

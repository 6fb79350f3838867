/** A service worker that tries to be a rank, and answers with the error. */
import { initProcessGroup } from "../../../../src/browser/index.ts";

addEventListener("message", ({ ports: [port] }: MessageEvent) => {
  initProcessGroup({ initMethod: "ws://127.0.0.1:1/group", worldSize: 1 }).then(
    () => port?.postMessage("it is one"),
    (error: unknown) => port?.postMessage(String(error)),
  );
});

/** The background page of an extension, which tries to be a rank, and sends the error to the address in `place`. */
import { initProcessGroup } from "../../../../src/browser/index.ts";

const { place } = globalThis as unknown as { place: string };
initProcessGroup({ initMethod: "ws://127.0.0.1:1/group", worldSize: 1 }).then(
  () => fetch(`${place}?it%20is%20one`),
  (error: unknown) => fetch(`${place}?${encodeURIComponent(String(error))}`),
);

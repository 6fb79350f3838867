/** idle URL COUNT: so many members of a group, which say nothing. Answers when all are in, and ends when the hub closes one of them. */
import { connectWebSocket } from "../../../src/node/websocket-client.ts";

const [url = "", count = "0"] = process.argv.slice(2);
const worldSize = Number(count);
const began = performance.now();
await Promise.all(
  Array.from({ length: worldSize }, async (_, rank) => {
    const hello = { group: "idle", rank, worldSize, purpose: "hub", checksums: false } as const;
    const { socket } = await connectWebSocket(url, hello, { timeoutMs: 60_000 });
    socket.onMessage = () => {};
    socket.onClose = () => process.exit(1);
  }),
);
process.send?.(performance.now() - began);
process.on("message", () => process.send?.("all here"));
process.on("disconnect", () => process.exit(0));

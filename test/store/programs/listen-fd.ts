/** Listens at the socket that is file descriptor 3, for tcp-store.test.ts, and prints how that went. */
import { writeSync } from "node:fs";
import { TcpStore } from "../../../src/node/index.ts";

try {
  const store = await TcpStore.listen({ port: Number(process.argv[2]), masterListenFd: 3 });
  await store.set("from", "the child");
  writeSync(1, "listening");
  setInterval(() => {}, 1_000);
} catch (error) {
  writeSync(1, String(error));
}

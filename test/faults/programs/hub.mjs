// A hub alone in its process; tells its address.
import { createHub } from "webccl/hub";

const hub = await createHub({ port: 0 });
process.send(hub.url);
process.on("disconnect", () => process.exit());

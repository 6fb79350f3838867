/** A rank that meets the others and then makes no call, until it is ended. */
import { initProcessGroup } from "webccl";

const group = await initProcessGroup();
await group.barrier();
console.log("met");
setInterval(() => {}, 60_000);

/** Rank 0 waits in its bring-up for rank 1, which never begins. */
import { initProcessGroup } from "webccl";

if (process.env.RANK === "0") await initProcessGroup({ timeoutMs: 60_000 });
else setInterval(() => {}, 1_000);

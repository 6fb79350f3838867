// A tab as a rank: open this page in two tabs, and each shows the sum of both.
//
//   npx webccl hub --origin http://localhost:5173
//   npx vite --port 5173            # a page with <script type="module" src="page.ts"></script>
import { initProcessGroup } from "webccl";

const group = await initProcessGroup({ initMethod: "ws://127.0.0.1:29500/tabs", worldSize: 2 });
const tensor = new Float32Array(4).fill(group.rank + 1);
await group.allReduce(tensor);
document.body.textContent = `rank ${group.rank} of ${group.size} has the sum ${tensor.join(" ")}`;
await group.destroy();

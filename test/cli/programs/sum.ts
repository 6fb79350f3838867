// Every rank adds its number plus one, and prints the sum.
import { initProcessGroup } from "../../../src/node/index.ts";

const group = await initProcessGroup();
const tensor = Int32Array.of(group.rank + 1);
await group.allReduce(tensor);
console.log(`sum ${tensor[0]}`);
await group.destroy();

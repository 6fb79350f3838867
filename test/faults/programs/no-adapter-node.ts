import { initProcessGroup } from "../../../src/node/index.ts";
import { withoutAdapter } from "./no-adapter.ts";

await withoutAdapter(initProcessGroup);

import { initProcessGroup } from "../../../src/deno/index.ts";
import { withoutAdapter } from "./no-adapter.ts";

await withoutAdapter(initProcessGroup);

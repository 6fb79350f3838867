/** The page of an engine's device suite: leaves the report in `globalThis.outcome`. */
import { initProcessGroup } from "../../../src/browser/index.ts";
import { runDeviceSuite } from "../../conformance/device-suite.ts";

const outcome = await runDeviceSuite(initProcessGroup, 7).catch((error: unknown) => ({ error: String(error) }));
Object.assign(globalThis, { outcome });

/** The collective suite on GPUBuffers, on Deno's own WebGPU. Prints one line of JSON. */
import { initProcessGroup } from "../../../src/deno/index.ts";
import { runDeviceSuite } from "../../conformance/device-suite.ts";

console.log(JSON.stringify(await runDeviceSuite(initProcessGroup, Number(process.argv[2]))));
